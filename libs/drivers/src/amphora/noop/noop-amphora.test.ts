import { describe, expect, it } from 'vitest';
import { AmphoraUnavailable, StaleFence } from '../../errors.ts';
import { describeAmphoraDriver } from '../amphora-driver.contract.ts';
import { NoopAmphoraDriver } from './noop-amphora.ts';

const amphora = { amphoraId: 'a0000000-0000-4000-8000-000000000001', lbNetworkIp: 'fd00::1', agentPort: 9443 };

describeAmphoraDriver('noop', async () => {
  const words = "unknown keyword 'nonsense'";
  const driver = new NoopAmphoraDriver({ check: (text) => (text.includes('nonsense') ? `[ALERT] ${words}` : null) });
  return {
    driver,
    amphora,
    refused: { configuration: 'global\n    nonsense yes\n', words },
    timeOutNextCall: () => driver.control.timeOutNext('*'),
    loseNextAnswer: () => driver.control.crashNext('*'),
    stop: async () => {},
  };
});

describe('the noop amphora driver', () => {
  it('refuses a worker that lost its flow', async () => {
    const driver = new NoopAmphoraDriver();
    await driver.pushHaproxy(amphora, 'lb', 'new', { fence: { flowId: 'f', epoch: 3 } });
    const late = driver.pushHaproxy(amphora, 'lb', 'old', { fence: { flowId: 'f', epoch: 2 } });
    await expect(late).rejects.toBeInstanceOf(StaleFence);
  });

  it('tells the listeners that an amphora serves, not those that are checked only', async () => {
    const driver = new NoopAmphoraDriver();
    await driver.pushHaproxy(amphora, 'lb', 'global\nfrontend one\n  mode http\nfrontend two\n');
    await driver.checkHaproxy(amphora, 'lb', 'frontend three\n');
    expect(await driver.listeners()).toEqual(new Map([[amphora.amphoraId, ['one', 'two']]]));
    await driver.reloadHaproxy(amphora, 'lb');
    expect(await driver.listeners()).toEqual(new Map([[amphora.amphoraId, ['three']]]));
  });

  it('lets a test silence an amphora', async () => {
    const driver = new NoopAmphoraDriver();
    await driver.silence(amphora.amphoraId);
    await expect(driver.getFacts(amphora)).rejects.toBeInstanceOf(AmphoraUnavailable);
    await driver.silence(amphora.amphoraId, false);
    await driver.getFacts(amphora);
  });

  it('records no content of keys and configurations', async () => {
    const driver = new NoopAmphoraDriver();
    await driver.uploadCertificate(amphora, 'lb', 'a.pem', 'SECRET');
    await driver.rotateAgentCertificate(amphora, 'SECRET');
    await driver.updateAgentConfig(amphora, 'SECRET');
    expect(JSON.stringify(driver.control.calls)).not.toContain('SECRET');
  });
});
