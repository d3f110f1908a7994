/**
 * Codes that count as healthy, ascending and without duplicates; null when the text is none of: codes with commas, ranges
 * such as 200-204 among them. Codes are 100 to 599.
 */
export function expectedCodes(text: string): number[] | null {
  if (text.length > 255 || !/^\d{3}(-\d{3})?(, ?\d{3}(-\d{3})?)*$/.test(text)) return null;
  const codes = new Set<number>();
  for (const part of text.split(',')) {
    const [first = 0, last = first] = part.split('-').map(Number);
    if (first < 100 || last > 599 || first > last) return null;
    for (let code = first; code <= last; code++) codes.add(code);
  }
  return [...codes].sort((a, b) => a - b);
}
