import { Installation, removeHome } from '../installation.ts';
import { type Benchmark, distribution } from '../measure.ts';

const TRIALS = 5;
const COMMAND = ['npm', 'start'];

export const start: Benchmark = {
  name: 'start',
  what: '`npm start` of a built clone, to all services SERVING',
  async run(signal) {
    const first: number[] = [];
    const again: number[] = [];
    for (let trial = 0; trial < TRIALS && !signal.aborted; trial++) {
      const home = Installation.newHome();
      try {
        for (const measured of [first, again]) {
          const installation = await Installation.start({}, { home, command: COMMAND, signal });
          measured.push(installation.startedInMs);
          await installation.stop();
        }
      } finally {
        removeHome(home);
      }
    }
    return [
      distribution('the first start: database and certificates are made', first, [50]),
      distribution('any other start', again, [50]),
    ];
  },
};
