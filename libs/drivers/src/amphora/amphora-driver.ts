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
   * Uploads a configuration, which the agent checks, and makes HAProxy serve it (start or hitless reload). The running one stays
   * when the check or the start fails. @throws ConfigurationRefused
   */
  pushHaproxy(
    amphora: AmphoraEndpoint,
    loadBalancerId: string,
    configuration: string,
    context?: CallContext,
  ): Promise<void>;
  /** MD5 (hex) of the configuration that the agent has, or null: it has none. */
  getHaproxyEtag(amphora: AmphoraEndpoint, loadBalancerId: string, context?: CallContext): Promise<string | null>;
  /** Stops HAProxy and removes all files of the load balancer. Succeeds if there are none. */
  deleteLoadBalancer(amphora: AmphoraEndpoint, loadBalancerId: string, context?: CallContext): Promise<void>;
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
