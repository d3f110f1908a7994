import { stripVTControlCharacters } from 'node:util';

/** What vitest's JSON reporter writes, as far as we read it. */
export interface SuiteResult {
  readonly testResults: readonly {
    /** Path of the test file. */
    readonly name: string;
    readonly status: string;
    /** Why the file itself failed: it does not load, or a hook threw. */
    readonly message?: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages?: readonly string[] | null;
    }[];
  }[];
}

/** Lines of a message that are told: what was expected, what came, and where. */
const MESSAGE_LINES = 12;

/** Every failed test of a suite: its file, its full name and the first lines of the message, for the end of the log. */
export function failuresOf({ testResults }: SuiteResult, root: string): string[] {
  return testResults.flatMap(({ name, status, message, assertionResults }) => {
    const file = name.startsWith(`${root}/`) ? name.slice(root.length + 1) : name;
    const failed = assertionResults.filter((test) => test.status === 'failed');
    if (failed.length === 0 && status === 'failed') return [tell(`${file}: the file failed`, message ?? '')];
    return failed.map((test) => tell(`${file}: ${test.fullName}`, (test.failureMessages ?? []).join('\n')));
  });
}

function tell(title: string, message: string): string {
  const lines = stripVTControlCharacters(message)
    .split('\n')
    .filter((line) => line.trim() !== '');
  const first = lines.slice(0, MESSAGE_LINES);
  const more = lines.length > first.length ? [`… ${lines.length - first.length} more lines`] : [];
  return [`FAILED  ${title}`, ...[...first, ...more].map((line) => `        ${line}`)].join('\n');
}
