import { readFile, rename, writeFile } from 'node:fs/promises';

const BEGIN = '<!-- recording of npm run demo -- --record -->\n```text\n';
const END = '\n```\n<!-- end of the recording -->';

/**
 * Puts what a run has told into the place of the recording before.
 * @throws Error when the page has no such place
 */
export function withRecording(page: string, recording: string): string {
  const from = page.indexOf(BEGIN);
  const to = page.indexOf(END, from);
  if (from < 0 || to < 0) throw new Error(`The page has no place for a recording: ${JSON.stringify(BEGIN)}.`);
  return page.slice(0, from + BEGIN.length) + recording.trim() + page.slice(to);
}

export async function record(path: string, recording: string): Promise<void> {
  const page = withRecording(await readFile(path, 'utf8'), recording);
  await writeFile(`${path}.new`, page);
  await rename(`${path}.new`, path);
}
