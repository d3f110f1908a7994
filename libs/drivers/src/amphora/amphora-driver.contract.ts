import { createHash } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AmphoraError, AmphoraUnavailable, ConfigurationRefused } from '../errors.ts';
import type { VipPort } from '../network/network-driver.ts';
import type { AmphoraDriver, AmphoraEndpoint } from './amphora-driver.ts';

export interface AmphoraHarness {
  readonly driver: AmphoraDriver;
  readonly amphora: AmphoraEndpoint;
  /** A configuration that the agent's check refuses, and words of the refusal. */
  readonly refused: { readonly configuration: string; readonly words: string };
  /** The next call times out, once. */
  readonly timeOutNextCall: () => void;
  /** The next call does its work, and its answer is lost, once. */
  readonly loseNextAnswer: () => void;
  readonly stop: () => Promise<void>;
}

const LB = 'b0000000-0000-4000-8000-000000000001';
const OTHER_LB = 'b0000000-0000-4000-8000-000000000002';
const CONFIGURATION = 'global\n    daemon\n';
const PORT: VipPort = {
  vipAddress: '203.0.113.5',
  subnetCidr: '203.0.113.0/24',
  gateway: '203.0.113.1',
  macAddress: 'fa:16:3e:00:00:01',
  vrrpIp: '203.0.113.4',
  vrrpPortId: null,
  mtu: 1450,
  hostRoutes: [],
};

/** The promises of `AmphoraDriver`, as tests. */
export function describeAmphoraDriver(name: string, start: () => Promise<AmphoraHarness>): void {
  const open = async () => {
    const harness = await start();
    onTestFinished(async () => {
      await harness.driver.close();
      await harness.stop();
    });
    return harness;
  };
  const md5 = (text: string) => createHash('md5').update(text).digest('hex');

  describe(`${name} as an AmphoraDriver`, () => {
    it('tells what the agent says of itself', async () => {
      const { driver, amphora } = await open();
      expect(await driver.getFacts(amphora)).toMatchObject({
        apiVersion: '1.0',
        haproxyVersion: '2.6.12-1+deb12u4',
        cpuCount: 2,
      });
    });

    it('has the agent serve a configuration, and tells its MD5 afterwards', async () => {
      const { driver, amphora } = await open();
      expect(await driver.getHaproxyEtag(amphora, LB)).toBeNull();
      await driver.pushHaproxy(amphora, LB, CONFIGURATION);
      await driver.pushHaproxy(amphora, LB, CONFIGURATION);
      expect(await driver.getHaproxyEtag(amphora, LB)).toBe(md5(CONFIGURATION));
    });

    it('says in HAProxy’s words why a configuration was refused, and the old one stays', async () => {
      const { driver, amphora, refused } = await open();
      await driver.pushHaproxy(amphora, LB, CONFIGURATION);
      const pushing = driver.pushHaproxy(amphora, LB, refused.configuration);
      await expect(pushing).rejects.toBeInstanceOf(ConfigurationRefused);
      await expect(pushing).rejects.toThrow(refused.words);
      expect(await driver.getHaproxyEtag(amphora, LB)).toBe(md5(CONFIGURATION));
    });

    it('checks a configuration without serving it, keeps what passed, and serves that after a reload', async () => {
      const { driver, amphora, refused } = await open();
      await driver.pushHaproxy(amphora, LB, CONFIGURATION);
      const checking = driver.checkHaproxy(amphora, LB, refused.configuration);
      await expect(checking).rejects.toBeInstanceOf(ConfigurationRefused);
      await expect(checking).rejects.toThrow(refused.words);
      expect(await driver.getHaproxyEtag(amphora, LB)).toBe(md5(CONFIGURATION));
      const next = `${CONFIGURATION}# next\n`;
      for (let i = 0; i < 2; i++) await driver.checkHaproxy(amphora, LB, next);
      expect(await driver.getHaproxyEtag(amphora, LB)).toBe(md5(next));
      for (let i = 0; i < 2; i++) await driver.reloadHaproxy(amphora, LB);
      expect(await driver.getHaproxyEtag(amphora, LB)).toBe(md5(next));
    });

    it('has nothing to reload before a configuration has passed the check', async () => {
      const { driver, amphora, refused } = await open();
      await expect(driver.reloadHaproxy(amphora, LB)).rejects.toBeInstanceOf(AmphoraError);
      await driver.checkHaproxy(amphora, LB, refused.configuration).catch(() => {});
      await expect(driver.reloadHaproxy(amphora, LB)).rejects.toBeInstanceOf(AmphoraError);
    });

    it('plugs a VIP, also when it was plugged before', async () => {
      const { driver, amphora } = await open();
      await driver.plugVip(amphora, PORT);
      await driver.plugVip(amphora, PORT);
    });

    it('stops and deletes what is there, and what is not', async () => {
      const { driver, amphora } = await open();
      await driver.stop(amphora, LB);
      await driver.pushHaproxy(amphora, LB, CONFIGURATION);
      await driver.stop(amphora, LB);
      expect(await driver.getHaproxyEtag(amphora, LB)).not.toBeNull();
      await driver.deleteLoadBalancer(amphora, LB);
      await driver.deleteLoadBalancer(amphora, LB);
      expect(await driver.getHaproxyEtag(amphora, LB)).toBeNull();
    });

    it('keeps several load balancers of one amphora apart: what befalls one leaves the others', async () => {
      const { driver, amphora, refused } = await open();
      const other = `${CONFIGURATION}# other\n`;
      await driver.plugVip(amphora, PORT);
      await driver.pushHaproxy(amphora, LB, CONFIGURATION);
      const port = { ...PORT, vipAddress: '203.0.113.6', vrrpIp: '203.0.113.6' };
      await driver.plugVip(amphora, port);
      expect(await driver.getHaproxyEtag(amphora, OTHER_LB)).toBeNull();
      await driver.pushHaproxy(amphora, OTHER_LB, other);
      await expect(driver.pushHaproxy(amphora, LB, refused.configuration)).rejects.toBeInstanceOf(ConfigurationRefused);
      await driver.stop(amphora, LB);
      for (let i = 0; i < 2; i++) await driver.deleteLoadBalancer(amphora, LB);
      expect(await driver.getHaproxyEtag(amphora, LB)).toBeNull();
      expect(await driver.getHaproxyEtag(amphora, OTHER_LB)).toBe(md5(other));
      await driver.reloadHaproxy(amphora, OTHER_LB);
      expect(await driver.getInterface(amphora, port.vrrpIp)).toBe('eth1');
      await expect(driver.reloadHaproxy(amphora, LB)).rejects.toBeInstanceOf(AmphoraError);
      await driver.pushHaproxy(amphora, LB, CONFIGURATION);
      expect(await driver.getHaproxyEtag(amphora, LB)).toBe(md5(CONFIGURATION));
    });

    it('uploads certificates, rotates the agent’s own and replaces its configuration, each as often as asked', async () => {
      const { driver, amphora } = await open();
      for (let i = 0; i < 2; i++) {
        await driver.uploadCertificate(amphora, LB, 'abc.pem', 'PEM');
        await driver.rotateAgentCertificate(amphora, 'PEM');
        await driver.updateAgentConfig(amphora, '[DEFAULT]\n');
      }
    });

    it('reports a time-out as AmphoraUnavailable, so that the flow retries', async () => {
      const { driver, amphora, timeOutNextCall } = await open();
      timeOutNextCall();
      await expect(driver.getHaproxyEtag(amphora, LB)).rejects.toBeInstanceOf(AmphoraUnavailable);
      expect(await driver.getHaproxyEtag(amphora, LB)).toBeNull();
    });

    it('may be called again when the answer was lost', async () => {
      const { driver, amphora, loseNextAnswer } = await open();
      loseNextAnswer();
      await driver.plugVip(amphora, PORT).catch(() => {});
      await driver.plugVip(amphora, PORT);
      loseNextAnswer();
      await driver.pushHaproxy(amphora, LB, CONFIGURATION).catch(() => {});
      await driver.pushHaproxy(amphora, LB, CONFIGURATION);
      expect(await driver.getHaproxyEtag(amphora, LB)).toBe(md5(CONFIGURATION));
    });

    it('tells the interface of an address that was plugged, and that there is none of another', async () => {
      const { driver, amphora } = await open();
      await driver.plugVip(amphora, PORT);
      expect(await driver.getInterface(amphora, PORT.vrrpIp)).toBe('eth1');
      await expect(driver.getInterface(amphora, '203.0.113.99')).rejects.toBeInstanceOf(AmphoraError);
    });

    it('has keepalived run with what was uploaded, and stops it, each as often as asked', async () => {
      const { driver, amphora } = await open();
      for (let i = 0; i < 2; i++) {
        await driver.uploadVrrp(amphora, LB, 'vrrp_instance x {\n}\n');
        await driver.startVrrp(amphora);
        await driver.reloadVrrp(amphora);
      }
      for (let i = 0; i < 2; i++) await driver.stopVrrp(amphora);
    });

    it('starts no keepalived before it has a configuration, and reloads none that does not run: a later try may', async () => {
      const { driver, amphora } = await open();
      await expect(driver.startVrrp(amphora)).rejects.toBeInstanceOf(AmphoraUnavailable);
      await driver.uploadVrrp(amphora, LB, 'vrrp_instance x {\n}\n');
      await expect(driver.reloadVrrp(amphora)).rejects.toBeInstanceOf(AmphoraUnavailable);
    });

    it('ends a call at once when it is aborted', async () => {
      const { driver, amphora } = await open();
      const signal = AbortSignal.abort(new Error('asked to stop'));
      await expect(driver.pushHaproxy(amphora, LB, CONFIGURATION, { signal })).rejects.toThrow('asked to stop');
      expect(await driver.getHaproxyEtag(amphora, LB)).toBeNull();
    });
  });
}
