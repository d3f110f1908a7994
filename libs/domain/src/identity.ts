/** Who calls: the client's certificate says which service, its metadata for which tenant. */
export interface Caller {
  /** Common name of the client certificate, such as `api-tier` or `octaviactl`. */
  readonly client: string;
  readonly projectId: string;
  readonly userId: string;
  /** Such as `load-balancer_admin`, `load-balancer_member`. */
  readonly roles: readonly string[];
  /** UUID of the request: of the caller where it gave one, else made by us. */
  readonly requestId: string;
}
