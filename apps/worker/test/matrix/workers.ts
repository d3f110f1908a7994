import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { WorkerProcess } from './worker-process.ts';

/** Gives worker processes that have started already, because a start takes longer than most cells. */
export class Workers {
  readonly #folder: string;
  readonly #program: string;
  readonly #warm: WorkerProcess[] = [];
  readonly #given: WorkerProcess[] = [];

  private constructor(folder: string, program: string, warm: number) {
    this.#folder = folder;
    this.#program = program;
    for (let i = 0; i < warm; i++) this.#warm.push(new WorkerProcess(program));
  }

  /** Bundles our sources, so that a process starts in a fraction of the time. @param warm processes to keep ready */
  static async open(warm: number): Promise<Workers> {
    // Inside the package, so that the bundle finds the libraries.
    const results = join(import.meta.dirname, '../../test-results');
    mkdirSync(results, { recursive: true });
    const folder = mkdtempSync(join(results, 'matrix-'));
    const program = join(folder, 'worker.mjs');
    await build({
      entryPoints: [join(import.meta.dirname, 'worker.ts')],
      outfile: program,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node24',
      conditions: ['@octavia/source'],
      sourcemap: true,
      logLevel: 'warning',
      // Ours are bundled, others stay where they are.
      plugins: [
        {
          name: 'libraries',
          setup: (setup) => {
            setup.onResolve({ filter: /^[^./]/ }, ({ path }) =>
              path.startsWith('@octavia/') ? undefined : { path, external: true },
            );
          },
        },
      ],
    });
    return new Workers(folder, program, warm);
  }

  readonly take = (): WorkerProcess => {
    this.#warm.push(new WorkerProcess(this.#program));
    const worker = this.#warm.shift();
    if (!worker) throw new Error('There is always one.');
    this.#given.push(worker);
    return worker;
  };

  async close(): Promise<void> {
    await Promise.all([...this.#warm, ...this.#given].map((worker) => worker.end()));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
