import type { AmphoraFacts } from '@octavia/domain';
import type { CallContext } from '../call-context.ts';
import type { VipPort } from '../network/network-driver.ts';

/** How to reach the agent of one amphora. */
export interface AmphoraEndpoint {
  readonly amphoraId: string;
  readonly lbNetworkIp: string;
  readonly agentPort: number;
}

/**
 * Talks to the agent of an amphora, one call at a time per amphora. Every method may be repeated without further effect. Any may
 * throw AmphoraUnavailable (retry later), AgentCertificateExpired (enrol it first), AmphoraError (do not) or StaleFence (another holder of the flow was there).
 */
export interface AmphoraDriver {
  readonly name: string;
  /** What the agent says of itself (`info` and `details`). Also the way to see whether it is up. */
  getFacts(amphora: AmphoraEndpoint, context?: CallContext): Promise<AmphoraFacts>;
  /** Tells the agent which interface carries the VIP. */
  plugVip(amphora: AmphoraEndpoint, port: VipPort, context?: CallContext): Promise<void>;
  /**
   * Uploads a configuration, which the agent checks and keeps beside the one that is served. HAProxy goes on as before until the next
   * `reloadHaproxy`, or until it is started anew: then it serves what passed a check last. What is refused is not kept.
   * @throws ConfigurationRefused
   */
  checkHaproxy(
    amphora: AmphoraEndpoint,
    loadBalancerId: string,
    configuration: string,
    context?: CallContext,
  ): Promise<void>;
  /**
   * Makes HAProxy serve the configuration that passed a check last: start, or hitless reload. The running one stays when that fails.
   * @throws AmphoraError when there is none
   */
  reloadHaproxy(amphora: AmphoraEndpoint, loadBalancerId: string, context?: CallContext): Promise<void>;
  /** Both: checks a configuration and makes HAProxy serve it. @throws ConfigurationRefused */
  pushHaproxy(
    amphora: AmphoraEndpoint,
    loadBalancerId: string,
    configuration: string,
    context?: CallContext,
  ): Promise<void>;
  /** MD5 (hex) of the configuration that passed a check last, served or not; null: there is none. */
  getHaproxyEtag(amphora: AmphoraEndpoint, loadBalancerId: string, context?: CallContext): Promise<string | null>;
  /**
   * Stops HAProxy and removes all files of the load balancer. When it returns, none of its processes is left, so nothing answers for its VIP
   * any more; other load balancers of the amphora are served as before. Succeeds if there are none.
   */
  deleteLoadBalancer(amphora: AmphoraEndpoint, loadBalancerId: string, context?: CallContext): Promise<void>;
  /** Name of the amphora's interface that has the address, as keepalived's configuration wants it. @throws AmphoraError none has it */
  getInterface(amphora: AmphoraEndpoint, address: string, context?: CallContext): Promise<string>;
  /** Gives keepalived its configuration, which it takes up at the next start or reload. No heartbeat is sent until it runs. */
  uploadVrrp(
    amphora: AmphoraEndpoint,
    loadBalancerId: string,
    configuration: string,
    context?: CallContext,
  ): Promise<void>;
  /** Starts keepalived, or has the running one take up its configuration. @throws AmphoraUnavailable also when there is none */
  startVrrp(amphora: AmphoraEndpoint, context?: CallContext): Promise<void>;
  /** Has the running keepalived take up its configuration, and keep the VIP if it has it. @throws AmphoraUnavailable also when none runs */
  reloadVrrp(amphora: AmphoraEndpoint, context?: CallContext): Promise<void>;
  /** Stops keepalived: it gives up the VIP, and heartbeats end. Succeeds if none runs. */
  stopVrrp(amphora: AmphoraEndpoint, context?: CallContext): Promise<void>;
  /** Uploads a file of a listener or pool, unless the agent has it (by MD5). @param file such as `<sha1>.pem` */
  uploadCertificate(
    amphora: AmphoraEndpoint,
    loadBalancerId: string,
    file: string,
    pem: string,
    context?: CallContext,
  ): Promise<void>;
  /** Stops serving the load balancer and keeps its files. */
  stop(amphora: AmphoraEndpoint, loadBalancerId: string, context?: CallContext): Promise<void>;
  /**
   * Whether the agent shows this very certificate to new connections. It is looked at, not believed, and nothing is sent: so it may
   * be asked of an agent whose certificate has run out. @param pem certificate first
   */
  showsCertificate(amphora: AmphoraEndpoint, pem: string, context?: CallContext): Promise<boolean>;
  /** Replaces the agent's own certificate and key. @param pem certificate, then key */
  rotateAgentCertificate(amphora: AmphoraEndpoint, pem: string, context?: CallContext): Promise<void>;
  /** Replaces the agent's configuration file and makes it read what may change at run time. */
  updateAgentConfig(amphora: AmphoraEndpoint, content: string, context?: CallContext): Promise<void>;
  close(): Promise<void>;
}
