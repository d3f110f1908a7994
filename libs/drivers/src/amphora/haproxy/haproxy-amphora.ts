import { createHash } from 'node:crypto';
import type { AmphoraFacts } from '@octavia/domain';
import { z } from 'zod';
import type { CallContext } from '../../call-context.ts';
import { AmphoraError, AmphoraUnavailable, NotImplemented } from '../../errors.ts';
import type { VipPort } from '../../network/network-driver.ts';
import type { AmphoraDriver, AmphoraEndpoint } from '../amphora-driver.ts';
import { AgentClient } from './agent-client.ts';
import type { AgentAnswer } from './answer.ts';
import { detailsSchema, factsOf, infoSchema } from './facts.ts';
import type { HaproxyAmphoraOptions } from './options.ts';

const API_VERSION = '1.0';
const md5Schema = z.object({ md5sum: z.string() });
const interfaceSchema = z.object({ interface: z.string().min(1) });

/** Octavia's agent REST API 1.0 over mutual TLS: for real Octavia amphorae, and for ours. */
export class HaproxyAmphoraDriver implements AmphoraDriver {
  readonly name = 'haproxy';
  readonly #agent: AgentClient;

  constructor(options: HaproxyAmphoraOptions) {
    this.#agent = new AgentClient(options);
  }

  async getFacts(amphora: AmphoraEndpoint, context?: CallContext): Promise<AmphoraFacts> {
    const info = read(
      infoSchema,
      await this.#agent.call(amphora, { method: 'GET', template: '/1.0/info' }, context),
      amphora,
    );
    if (info.api_version !== API_VERSION) {
      throw new AmphoraError(
        `Amphora ${amphora.amphoraId} speaks version ${info.api_version} of the agent API, not ${API_VERSION}. Use a newer image.`,
        { amphoraId: amphora.amphoraId, apiVersion: info.api_version },
      );
    }
    const details = await this.#agent.call(amphora, { method: 'GET', template: '/1.0/details' }, context);
    return factsOf(info, read(detailsSchema, details, amphora));
  }

  async plugVip(amphora: AmphoraEndpoint, port: VipPort, context?: CallContext): Promise<void> {
    const body = JSON.stringify({
      subnet_cidr: port.subnetCidr,
      gateway: port.gateway,
      mac_address: port.macAddress,
      vrrp_ip: port.vrrpIp,
      ...(port.mtu === null ? {} : { mtu: port.mtu }),
      host_routes: port.hostRoutes,
      additional_vips: [],
    });
    const ids = { vip: port.vipAddress };
    // 409: an earlier call whose answer was lost has plugged it.
    await this.#agent.call(
      amphora,
      { method: 'POST', template: '/1.0/plug/vip/{vip}', ids, body, accepts: [409] },
      context,
    );
  }

  async checkHaproxy(
    amphora: AmphoraEndpoint,
    lb: string,
    configuration: string,
    context?: CallContext,
  ): Promise<void> {
    const ids = { amphora: amphora.amphoraId, lb };
    const template = '/1.0/loadbalancer/{amphora}/{lb}/haproxy';
    const upload = { method: 'PUT', template, ids, body: configuration, kind: 'upload' } as const;
    await this.#agent.call(amphora, upload, context);
  }

  async reloadHaproxy(amphora: AmphoraEndpoint, lb: string, context?: CallContext): Promise<void> {
    // Reload starts a stopped HAProxy, so one call is right for both.
    const template = '/1.0/loadbalancer/{lb}/reload';
    await this.#agent.call(amphora, { method: 'PUT', template, ids: { lb }, kind: 'run' }, context);
  }

  async pushHaproxy(amphora: AmphoraEndpoint, lb: string, configuration: string, context?: CallContext): Promise<void> {
    await this.checkHaproxy(amphora, lb, configuration, context);
    await this.reloadHaproxy(amphora, lb, context);
  }

  async getHaproxyEtag(amphora: AmphoraEndpoint, lb: string, context?: CallContext): Promise<string | null> {
    const template = '/1.0/loadbalancer/{lb}/haproxy';
    const answer = await this.#agent.call(amphora, { method: 'GET', template, ids: { lb }, accepts: [404] }, context);
    return answer.status === 404 ? null : (answer.etag ?? md5(answer.text));
  }

  async deleteLoadBalancer(amphora: AmphoraEndpoint, lb: string, context?: CallContext): Promise<void> {
    const call = { method: 'DELETE', template: '/1.0/listeners/{lb}', ids: { lb }, accepts: [404] } as const;
    await this.#agent.call(amphora, call, context);
  }

  async getInterface(amphora: AmphoraEndpoint, address: string, context?: CallContext): Promise<string> {
    const call = { method: 'GET', template: '/1.0/interface/{ip}', ids: { ip: address } } as const;
    return read(interfaceSchema, await this.#agent.call(amphora, call, context), amphora).interface;
  }

  async uploadVrrp(amphora: AmphoraEndpoint, _lb: string, configuration: string, context?: CallContext): Promise<void> {
    const call = { method: 'PUT', template: '/1.0/vrrp/upload', body: configuration, kind: 'upload' } as const;
    await this.#agent.call(amphora, call, context);
  }

  startVrrp(amphora: AmphoraEndpoint, context?: CallContext): Promise<void> {
    return this.#vrrp(amphora, 'start', context);
  }

  reloadVrrp(amphora: AmphoraEndpoint, context?: CallContext): Promise<void> {
    return this.#vrrp(amphora, 'reload', context);
  }

  stopVrrp(amphora: AmphoraEndpoint, context?: CallContext): Promise<void> {
    return this.#vrrp(amphora, 'stop', context);
  }

  async #vrrp(amphora: AmphoraEndpoint, action: string, context: CallContext | undefined): Promise<void> {
    const call = { method: 'PUT', template: '/1.0/vrrp/{action}', ids: { action } } as const;
    await this.#agent.call(amphora, call, context);
  }

  async uploadCertificate(
    amphora: AmphoraEndpoint,
    lb: string,
    file: string,
    pem: string,
    context?: CallContext,
  ): Promise<void> {
    const template = '/1.0/loadbalancer/{lb}/certificates/{file}';
    const ids = { lb, file };
    const known = await this.#agent.call(amphora, { method: 'GET', template, ids, accepts: [404] }, context);
    if (md5Schema.safeParse(known.json).data?.md5sum === md5(pem)) return;
    await this.#agent.call(amphora, { method: 'PUT', template, ids, body: pem }, context);
  }

  async stop(amphora: AmphoraEndpoint, lb: string, context?: CallContext): Promise<void> {
    const template = '/1.0/loadbalancer/{lb}/stop';
    await this.#agent.call(amphora, { method: 'PUT', template, ids: { lb }, accepts: [404] }, context);
  }

  showsCertificate(amphora: AmphoraEndpoint, pem: string, context?: CallContext): Promise<boolean> {
    return this.#agent.shows(amphora, pem, context);
  }

  async rotateAgentCertificate(amphora: AmphoraEndpoint, pem: string, context?: CallContext): Promise<void> {
    await this.#agent.call(amphora, { method: 'PUT', template: '/1.0/certificate', body: pem }, context);
  }

  async updateAgentConfig(amphora: AmphoraEndpoint, content: string, context?: CallContext): Promise<void> {
    const call = { method: 'PUT', template: '/1.0/config', body: content, accepts: [404] } as const;
    const answer = await this.#agent.call(amphora, call, context);
    if (answer.status === 404) {
      throw new NotImplemented(
        this.name,
        `new configurations of the agent of amphora ${amphora.amphoraId}: it is too old`,
      );
    }
  }

  close(): Promise<void> {
    return this.#agent.close();
  }
}

/** @throws AmphoraUnavailable when the answer is not what an agent says */
function read<S extends z.ZodType>(schema: S, answer: AgentAnswer, { amphoraId }: AmphoraEndpoint): z.output<S> {
  const { data, error } = schema.safeParse(answer.json);
  if (error) {
    const why = z.prettifyError(error);
    throw new AmphoraUnavailable(`Amphora ${amphoraId} said of itself what no agent says: ${why}.`, { amphoraId, why });
  }
  return data as z.output<S>;
}

function md5(text: string): string {
  return createHash('md5').update(text).digest('hex'); // Octavia's ETag; it proves no more than equality.
}
