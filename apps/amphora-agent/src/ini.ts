/** Sections of an INI file by name; keys before the first section are in DEFAULT. */
export type Ini = Map<string, Map<string, string>>;

/** Octavia's config drive takes 10 KiB a file; this leaves room. */
const MAX_INI_BYTES = 64 * 1024;

/** A line that is no INI; the message names it. */
export class IniError extends Error {}

/**
 * Reads an INI file as oslo.config does: `key = value` or `key: value`, `#` and `;` begin a comment line, an indented line
 * continues the value above, quotes round a whole value fall away. `$name` is not expanded, so that a key may hold a dollar.
 * @throws IniError
 */
export function parseIni(text: string): Ini {
  if (Buffer.byteLength(text) > MAX_INI_BYTES) throw new IniError(`The file has more than ${MAX_INI_BYTES} bytes`);
  const ini: Ini = new Map();
  let section = sectionOf(ini, 'DEFAULT');
  let lastKey: string | null = null;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#') || trimmed.startsWith(';')) {
      lastKey = null;
    } else if (/^\s/.test(line) && lastKey !== null) {
      section.set(lastKey, `${section.get(lastKey) ?? ''}\n${trimmed}`);
    } else if (trimmed.startsWith('[')) {
      const name = /^\[([^\]]+)\]$/.exec(trimmed)?.[1]?.trim();
      if (!name) throw new IniError(`Line ${index + 1} is not a section header such as [DEFAULT]`);
      section = sectionOf(ini, name);
      lastKey = null;
    } else {
      const [, key = '', value = ''] = /^([^=:]+?)\s*[=:]\s*(.*)$/.exec(trimmed) ?? [];
      if (key === '') throw new IniError(`Line ${index + 1} is not "key = value"`);
      section.set(key, unquote(value));
      lastKey = key;
    }
  }
  return ini;
}

/** Writes what `parseIni` reads, with single spaces round the equals sign: an image's boot script searches for that. */
export function formatIni(ini: Ini): string {
  const blocks = [...ini]
    .filter(([, keys]) => keys.size > 0)
    .map(([name, keys]) => {
      const lines = [...keys].map(([key, value]) => `${key} = ${value.replaceAll('\n', '\n    ')}`);
      return `[${name}]\n${lines.join('\n')}\n`;
    });
  return blocks.join('\n');
}

/** The section with this name, made when it is not there. */
export function sectionOf(ini: Ini, name: string): Map<string, string> {
  const section = ini.get(name) ?? new Map<string, string>();
  ini.set(name, section);
  return section;
}

function unquote(value: string): string {
  const quote = value[0];
  const isQuoted = value.length > 1 && (quote === '"' || quote === "'") && value.endsWith(quote);
  return isQuoted ? value.slice(1, -1) : value;
}
