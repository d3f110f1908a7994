import Table from 'cli-table3';

/** The frame that the OpenStack client draws: no lines between rows. */
const FRAME = {
  top: '-',
  'top-mid': '+',
  'top-left': '+',
  'top-right': '+',
  bottom: '-',
  'bottom-mid': '+',
  'bottom-left': '+',
  'bottom-right': '+',
  left: '|',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '|',
  'right-mid': '',
  middle: '|',
};

/** A table with a line under its head. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const drawn = new Table({ chars: FRAME, style: { head: [], border: [] } });
  drawn.push([...head], ...rows.map((row) => [...row]));
  const [frame = '', names = '', ...rest] = drawn.toString().split('\n');
  return `${[frame, names, frame, ...rest].join('\n')}\n`;
}
