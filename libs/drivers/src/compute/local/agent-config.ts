/** What of the agent's configuration is known only where the amphora runs. */
export interface LocalAgentConfig {
  /** Folder of the amphora: `/etc/octavia` and `/var/lib/octavia` are below it. */
  readonly folder: string;
  readonly bindHost: string;
  readonly bindPort: number;
  /** Replaces `haproxy_cmd` where it is set. */
  readonly haproxyCmd?: string;
  /** Keys of section [octavia_controller], which only our agent reads. */
  readonly controller: Readonly<Record<string, string>>;
}

/** Paths of Octavia's image; whatever lies below them is moved below the amphora's folder. */
const MOVED_PATHS = /(?<![\w./-])(\/etc\/octavia|\/var\/lib\/octavia)(?=[/\s,;"']|$)/g;

/**
 * Turns the configuration file of an amphora in an image into that of a group of processes: moves Octavia's paths below the amphora's
 * folder, binds the agent to its own address, and adds the section that only our agent reads. Comments, order and unknown keys stay.
 * Doing it twice changes nothing more.
 */
export function localAgentConfig(content: string, local: LocalAgentConfig): string {
  const moved = content
    .split(/\r?\n/)
    .map((line) => (/^\s*[#;]/.test(line) ? line : line.replace(MOVED_PATHS, (path) => local.folder + path)));
  let lines = setKey(moved, 'haproxy_amphora', 'bind_host', local.bindHost);
  lines = setKey(lines, 'haproxy_amphora', 'bind_port', String(local.bindPort));
  if (local.haproxyCmd) lines = setKey(lines, 'haproxy_amphora', 'haproxy_cmd', local.haproxyCmd);
  for (const [key, value] of Object.entries(local.controller)) lines = setKey(lines, 'octavia_controller', key, value);
  return `${lines.join('\n').trimEnd()}\n`;
}

/** Sets a key where it is, else at the end of its section, else in a new section at the end. */
function setKey(lines: readonly string[], section: string, key: string, value: string): string[] {
  const entry = `${key} = ${value}`;
  const start = lines.findIndex((line) => sectionOf(line) === section);
  if (start < 0) return [...trimEnd(lines), '', `[${section}]`, entry];
  const next = lines.findIndex((line, index) => index > start && sectionOf(line) !== null);
  const end = next < 0 ? lines.length : next;
  const found = lines.findIndex((line, index) => index > start && index < end && keyOf(line) === key);
  if (found >= 0) return lines.with(found, entry);
  const body = trimEnd(lines.slice(0, end));
  return [...body, entry, ...(next < 0 ? [] : ['']), ...lines.slice(end)];
}

function sectionOf(line: string): string | null {
  return /^\[([^\]]+)\]\s*$/.exec(line)?.[1] ?? null;
}

function keyOf(line: string): string | null {
  return /^([\w-]+)\s*[=:]/.exec(line)?.[1] ?? null;
}

function trimEnd(lines: readonly string[]): string[] {
  const last = lines.findLastIndex((line) => line.trim() !== '');
  return lines.slice(0, last + 1);
}
