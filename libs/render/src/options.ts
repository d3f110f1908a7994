/** What a deployment may set. Every default is Octavia's. */
export interface HaproxyOptions {
  /** Syslog facility local<n> of connections. */
  readonly userLogFacility: number;
  /** Syslog facility local<n> of HAProxy's own messages. */
  readonly administrativeLogFacility: number;
  /** Whether connections are logged. */
  readonly connectionLogging: boolean;
  /** HAProxy log format; `{{ project_id }}` and `{{ lb_id }}` are replaced. */
  readonly userLogFormat: string;
  /** Connections at once of a listener without a limit of its own. */
  readonly defaultConnectionLimit: number;
  /** Entries of a stick table, such as `10k`. */
  readonly stickTableSize: string;
}

export const DEFAULT_HAPROXY_OPTIONS: HaproxyOptions = {
  userLogFacility: 0,
  administrativeLogFacility: 1,
  connectionLogging: true,
  userLogFormat:
    '{{ project_id }} {{ lb_id }} %f %ci %cp %t %{+Q}r %ST %B %U %[ssl_c_verify] %{+Q}[ssl_c_s_dn] %b %s %Tt %tsc',
  defaultConnectionLimit: 50_000,
  stickTableSize: '10k',
};
