import { createHash } from 'node:crypto';
import { type AmphoraFacts, OCTAVIA_PLATFORM } from '@octavia/domain';
import type { CallContext } from '../../call-context.ts';
import { AmphoraError, AmphoraUnavailable, ConfigurationRefused } from '../../errors.ts';
import type { VipPort } from '../../network/network-driver.ts';
import { NoopControl } from '../../noop/noop-control.ts';
import { type NoopOptions, type NoopWorld, openNoopWorld } from '../../noop/noop-world.ts';
import type { AmphoraDriver, AmphoraEndpoint } from '../amphora-driver.ts';

/** @param when 'upload': the check of an agent. 'reload': what HAProxy says of what passed that */
type Check = (configuration: string, amphoraId: string, when: 'upload' | 'reload') => string | null;

export interface NoopAmphoraOptions extends NoopOptions {
  readonly facts?: AmphoraFacts;
  /** What the agent says of a configuration: null, it is good; else HAProxy's words. Default: all are good. */
  readonly check?: Check;
  /**
   * Of an amphora that this driver does not remember: true, it is believed that another worker plugged and configured it, as the noop
   * compute driver believes in its instance; false, nothing was done to it.
   */
  readonly adopt?: boolean;
}

/** Facts of every noop amphora: a Debian 12 amphora with two CPUs. */
export const NOOP_FACTS: AmphoraFacts = {
  haproxyVersion: '2.6.12-1+deb12u4',
  keepalivedVersion: '1:2.2.7-1+b2',
  apiVersion: '1.0',
  cpuCount: 2,
  activeTunedProfiles: [],
  memory: { free: 1_000_000, buffers: 0, cached: 0 },
  platform: OCTAVIA_PLATFORM,
};

interface Kept extends Checked {
  readonly isRunning: boolean;
  /** What HAProxy came to serve last; null: nothing yet. */
  readonly served: Checked | null;
}

/** A configuration that passed the check. */
interface Checked {
  readonly etag: string;
  /** Its frontends, which are named as their listeners. */
  readonly frontends: readonly string[];
}

interface Vrrp {
  readonly etag: string;
  readonly isRunning: boolean;
}

/** Every noop amphora has its VIP here, as Octavia's have. */
const NOOP_INTERFACE = 'eth1';

/** Agents in memory, or in a shared folder: they keep what they are sent and serve nothing. */
export class NoopAmphoraDriver implements AmphoraDriver {
  readonly name = 'noop';
  readonly control: NoopControl;
  readonly #world: NoopWorld;
  readonly #facts: AmphoraFacts;
  readonly #check: Check;
  readonly #adopts: boolean;

  constructor(options: NoopAmphoraOptions = {}) {
    this.#world = openNoopWorld('amphora', options);
    this.#facts = options.facts ?? NOOP_FACTS;
    this.#check = options.check ?? (() => null);
    this.#adopts = options.adopt ?? false;
    this.control = new NoopControl({
      driver: 'noop amphora',
      fences: this.#world.fences,
      unavailable: (message) => new AmphoraUnavailable(message),
      ...options,
    });
  }

  getFacts(amphora: AmphoraEndpoint, context?: CallContext): Promise<AmphoraFacts> {
    return this.#call('getFacts', amphora, [], context, async () => this.#facts);
  }

  plugVip(amphora: AmphoraEndpoint, port: VipPort, context?: CallContext): Promise<void> {
    return this.#call('plugVip', amphora, [port], context, async () => {
      await this.#world.store.put('plugs', `${amphora.amphoraId} ${port.vipAddress}`, true);
      await this.#world.store.put('interfaces', `${amphora.amphoraId} ${port.vrrpIp}`, NOOP_INTERFACE);
    });
  }

  checkHaproxy(amphora: AmphoraEndpoint, lbId: string, configuration: string, context?: CallContext): Promise<void> {
    const checked = checkedOf(configuration);
    return this.#call('checkHaproxy', amphora, [lbId, checked.etag], context, async () => {
      this.#assertGood(amphora, configuration, 'upload');
      const kept = await this.#kept(amphora, lbId);
      await this.#keep(amphora, lbId, {
        ...checked,
        isRunning: kept?.isRunning ?? false,
        served: kept?.served ?? null,
      });
    });
  }

  reloadHaproxy(amphora: AmphoraEndpoint, lbId: string, context?: CallContext): Promise<void> {
    return this.#call('reloadHaproxy', amphora, [lbId], context, async () => {
      const kept = await this.#kept(amphora, lbId);
      if (!kept) {
        const message = `Amphora ${amphora.amphoraId} has no configuration of load balancer ${lbId}. Push one first.`;
        throw new AmphoraError(message, { amphoraId: amphora.amphoraId, loadBalancerId: lbId });
      }
      const { etag, frontends } = kept;
      await this.#keep(amphora, lbId, { etag, frontends, isRunning: true, served: { etag, frontends } });
    });
  }

  pushHaproxy(amphora: AmphoraEndpoint, lbId: string, configuration: string, context?: CallContext): Promise<void> {
    const checked = checkedOf(configuration);
    return this.#call('pushHaproxy', amphora, [lbId, checked.etag], context, async () => {
      this.#assertGood(amphora, configuration, 'upload');
      this.#assertGood(amphora, configuration, 'reload');
      await this.#keep(amphora, lbId, { ...checked, isRunning: true, served: checked });
    });
  }

  getHaproxyEtag(amphora: AmphoraEndpoint, lbId: string, context?: CallContext): Promise<string | null> {
    return this.#call('getHaproxyEtag', amphora, [lbId], context, async () => {
      const kept = await this.#kept(amphora, lbId);
      return kept?.etag ?? null;
    });
  }

  deleteLoadBalancer(amphora: AmphoraEndpoint, lbId: string, context?: CallContext): Promise<void> {
    return this.#call('deleteLoadBalancer', amphora, [lbId], context, () =>
      this.#world.store.delete('haproxy', `${amphora.amphoraId} ${lbId}`),
    );
  }

  getInterface(amphora: AmphoraEndpoint, address: string, context?: CallContext): Promise<string> {
    return this.#call('getInterface', amphora, [address], context, async () => {
      const found = await this.#world.store.get<string>('interfaces', `${amphora.amphoraId} ${address}`);
      if (found) return found;
      if (this.#adopts) return NOOP_INTERFACE;
      const { amphoraId } = amphora;
      throw new AmphoraError(`Amphora ${amphoraId} has no interface with the address ${address}. Plug it first.`, {
        amphoraId,
        address,
      });
    });
  }

  uploadVrrp(amphora: AmphoraEndpoint, lbId: string, configuration: string, context?: CallContext): Promise<void> {
    const etag = md5(configuration);
    return this.#call('uploadVrrp', amphora, [lbId, etag], context, async () => {
      const isRunning = (await this.#vrrp(amphora))?.isRunning ?? false;
      await this.#keepVrrp(amphora, { etag, isRunning });
    });
  }

  startVrrp(amphora: AmphoraEndpoint, context?: CallContext): Promise<void> {
    return this.#call('startVrrp', amphora, [], context, async () => {
      const kept = await this.#vrrp(amphora);
      if (!kept && !this.#adopts) throw vrrpFailed(amphora, 'nothing was uploaded');
      if (kept) await this.#keepVrrp(amphora, { ...kept, isRunning: true });
    });
  }

  reloadVrrp(amphora: AmphoraEndpoint, context?: CallContext): Promise<void> {
    return this.#call('reloadVrrp', amphora, [], context, async () => {
      const kept = await this.#vrrp(amphora);
      if (kept ? !kept.isRunning : !this.#adopts) throw vrrpFailed(amphora, 'none runs');
    });
  }

  stopVrrp(amphora: AmphoraEndpoint, context?: CallContext): Promise<void> {
    return this.#call('stopVrrp', amphora, [], context, async () => {
      const kept = await this.#vrrp(amphora);
      if (kept) await this.#keepVrrp(amphora, { ...kept, isRunning: false });
    });
  }

  uploadCertificate(
    amphora: AmphoraEndpoint,
    lbId: string,
    file: string,
    pem: string,
    context?: CallContext,
  ): Promise<void> {
    return this.#call('uploadCertificate', amphora, [lbId, file], context, () =>
      this.#world.store.put('certificates', `${amphora.amphoraId} ${lbId} ${file}`, md5(pem)),
    );
  }

  stop(amphora: AmphoraEndpoint, lbId: string, context?: CallContext): Promise<void> {
    return this.#call('stop', amphora, [lbId], context, async () => {
      const kept = await this.#kept(amphora, lbId);
      if (kept) await this.#keep(amphora, lbId, { ...kept, isRunning: false });
    });
  }

  showsCertificate(amphora: AmphoraEndpoint, _pem: string, context?: CallContext): Promise<boolean> {
    return this.#call('showsCertificate', amphora, [], context, async () => true);
  }

  rotateAgentCertificate(amphora: AmphoraEndpoint, _pem: string, context?: CallContext): Promise<void> {
    return this.#call('rotateAgentCertificate', amphora, [], context, async () => {});
  }

  updateAgentConfig(amphora: AmphoraEndpoint, _content: string, context?: CallContext): Promise<void> {
    return this.#call('updateAgentConfig', amphora, [], context, async () => {});
  }

  async close(): Promise<void> {}

  /** For tests: the agent does not answer any more, or answers again; with a folder, to none of its processes. */
  silence(amphoraId: string, isSilent = true): Promise<void> {
    const { store } = this.#world;
    return isSilent ? store.put('silent', amphoraId, true) : store.delete('silent', amphoraId);
  }

  /** For tests: MD5 (hex) of what HAProxy serves; null: nothing. */
  async served(amphoraId: string, lbId: string): Promise<string | null> {
    const kept = await this.#world.store.get<Kept>('haproxy', `${amphoraId} ${lbId}`);
    return kept?.isRunning ? (kept.served?.etag ?? null) : null;
  }

  /** For tests: by amphora, the listeners that its HAProxy serves, as its heartbeats would say. */
  async listeners(): Promise<ReadonlyMap<string, readonly string[]>> {
    const { store } = this.#world;
    const found = new Map<string, readonly string[]>();
    for (const key of await store.keys('haproxy')) {
      const [amphoraId = ''] = key.split(' ');
      const kept = await store.get<Kept>('haproxy', key);
      if (kept?.isRunning) found.set(amphoraId, [...(found.get(amphoraId) ?? []), ...(kept.served?.frontends ?? [])]);
    }
    return found;
  }

  #assertGood({ amphoraId }: AmphoraEndpoint, configuration: string, when: 'upload' | 'reload'): void {
    const refusal = this.#check(configuration, amphoraId, when);
    if (refusal !== null) throw new ConfigurationRefused(refusal, { amphoraId }, { isAtReload: when === 'reload' });
  }

  #kept(amphora: AmphoraEndpoint, lbId: string): Promise<Kept | null> {
    return this.#world.store.get<Kept>('haproxy', `${amphora.amphoraId} ${lbId}`);
  }

  /** For tests: MD5 (hex) of keepalived's configuration, and whether it runs; null: nothing was uploaded. */
  vrrpOf(amphoraId: string): Promise<Vrrp | null> {
    return this.#world.store.get<Vrrp>('vrrp', amphoraId);
  }

  #vrrp({ amphoraId }: AmphoraEndpoint): Promise<Vrrp | null> {
    return this.vrrpOf(amphoraId);
  }

  #keepVrrp({ amphoraId }: AmphoraEndpoint, kept: Vrrp): Promise<void> {
    return this.#world.store.put('vrrp', amphoraId, kept);
  }

  #keep(amphora: AmphoraEndpoint, lbId: string, kept: Kept): Promise<void> {
    return this.#world.store.put('haproxy', `${amphora.amphoraId} ${lbId}`, kept);
  }

  #call<T>(
    method: string,
    amphora: AmphoraEndpoint,
    args: readonly unknown[],
    context: CallContext | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    return this.control.run(method, [amphora.amphoraId, ...args], context, async () => {
      if (await this.#world.store.get<boolean>('silent', amphora.amphoraId)) {
        throw new AmphoraUnavailable(`The agent of amphora ${amphora.amphoraId} does not answer.`, {
          amphoraId: amphora.amphoraId,
        });
      }
      return await work();
    });
  }
}

function checkedOf(configuration: string): Checked {
  return {
    etag: md5(configuration),
    frontends: [...configuration.matchAll(/^frontend (\S+)/gm)].map(([, id = '']) => id),
  };
}

function vrrpFailed({ amphoraId }: AmphoraEndpoint, why: string): AmphoraUnavailable {
  return new AmphoraUnavailable(`keepalived of amphora ${amphoraId} does not run: ${why}.`, { amphoraId, why });
}

function md5(text: string): string {
  return createHash('md5').update(text).digest('hex'); // Octavia's ETag; it proves no more than equality.
}
