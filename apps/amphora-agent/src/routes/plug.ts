import { isIP } from 'node:net';
import { FrameworkError, RequestError } from '../errors.ts';
import type { AgentRequest, Route } from '../http/router.ts';
import { explodeAddress } from '../plugged/address.ts';
import type { Network, NetworkPort, PortAddress, VipPort } from '../plugged/network.ts';

const MAX_JSON_BYTES = 256 * 1024;
/** Octavia's quota of additional VIPs is far below. */
const MAX_ADDRESSES = 256;

type Json = Readonly<Record<string, unknown>>;

/** Plugging: gives interfaces their addresses. A repeated call answers as the first. */
export function plugRoutes(network: Network): Route[] {
  return [
    {
      method: 'POST',
      path: '/1.0/plug/vip/:vip',
      maxBodyBytes: MAX_JSON_BYTES,
      async handle(request) {
        const port = readVip(request);
        const name = await network.plugVip(port);
        const vips = port.vips.map(({ address }) => explodeAddress(address)).join(', ');
        return { status: 202, body: { message: 'OK', details: `VIPs plugged on interface ${name}: ${vips}` } };
      },
    },
    {
      method: 'POST',
      path: '/1.0/plug/network',
      maxBodyBytes: MAX_JSON_BYTES,
      async handle(request) {
        const { interface: name, isKnown } = await network.plugNetwork(readNetwork(request));
        const verb = isKnown ? 'Updated existing' : 'Plugged on';
        return { status: 202, body: { message: 'OK', details: `${verb} interface ${name}` } };
      },
    },
  ];
}

function readVip({ params, body }: AgentRequest): VipPort {
  const { vip = '' } = params;
  const fault = new FrameworkError(400, 'Invalid subnet information');
  const port = parseObject(body);
  if (!port || !['subnet_cidr', 'gateway', 'mac_address'].every((key) => key in port)) throw fault;
  if (typeof port.subnet_cidr !== 'string' || typeof port.mac_address !== 'string') throw fault;
  const additional = port.additional_vips ?? [];
  if (!isListOfObjects(additional)) throw fault;
  if (
    !additional.every((other) => ['subnet_cidr', 'ip_address', 'gateway', 'host_routes'].every((key) => key in other))
  )
    throw fault;
  const vips = [{ ...port, ip_address: vip }, ...additional].map((one) => {
    const address = readAddress(one, fault);
    if (address === null) throw new RequestError(400, `Invalid VIP: ${notAnAddress(one.ip_address)}`);
    return address;
  });
  const vrrp = port.vrrp_ip ?? null;
  const own = vrrp === null ? null : readAddress({ ...port, ip_address: vrrp }, fault);
  if (vrrp !== null && own === null) throw new RequestError(400, `Invalid VRRP Address: ${notAnAddress(vrrp)}`);
  return { mac: port.mac_address.toLowerCase(), mtu: readMtu(port, fault), vips, own };
}

function readNetwork({ body }: AgentRequest): NetworkPort {
  const port = parseObject(body);
  const fault = new FrameworkError(400, 'Invalid port information');
  if (!port || typeof port.mac_address !== 'string' || port.mac_address.length > 64) throw fault;
  const fixed = port.fixed_ips ?? [];
  if (!isListOfObjects(fixed)) throw fault;
  const addresses = fixed.map((one) => {
    const address = readAddress(one, fault);
    if (address === null) throw new RequestError(400, 'Invalid network port');
    return address;
  });
  return { mac: port.mac_address.toLowerCase(), mtu: readMtu(port, fault), addresses };
}

/** An address with its subnet, or null: it is no address. @throws what `fault` says, when what is beside it makes no sense */
function readAddress(port: Json, fault: Error): PortAddress | null {
  const { ip_address: address, subnet_cidr: cidr, gateway = null, host_routes: routes } = port;
  if (typeof address !== 'string' || isIP(address) === 0) return null;
  const hostRoutes = routes ?? [];
  if (!isListOfObjects(hostRoutes) || (gateway !== null && !isAddress(gateway))) throw fault;
  return {
    address,
    prefixLength: typeof cidr === 'string' ? prefixLengthOf(cidr) : null,
    gateway,
    hostRoutes: hostRoutes.map(({ destination, nexthop }) => {
      if (typeof destination !== 'string' || prefixLengthOf(destination) === null || !isAddress(nexthop)) throw fault;
      return { destination, nexthop };
    }),
  };
}

/** Bits of the prefix of `address/bits`, or null: it is no such thing. */
function prefixLengthOf(cidr: string): number | null {
  const [address = '', bits = ''] = cidr.split('/');
  const family = isIP(address);
  const isLength = /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 6 ? 128 : 32);
  return family !== 0 && isLength && cidr.split('/').length === 2 ? Number(bits) : null;
}

function readMtu({ mtu = null }: Json, fault: Error): number | null {
  if (mtu === null) return null;
  if (typeof mtu !== 'number' || !Number.isInteger(mtu) || mtu < 68 || mtu > 65_535) throw fault;
  return mtu;
}

function parseObject(body: Buffer): Json | null {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isListOfObjects(value: unknown): value is Json[] {
  return Array.isArray(value) && value.length <= MAX_ADDRESSES && value.every(isObject);
}

function isAddress(value: unknown): value is string {
  return typeof value === 'string' && isIP(value) !== 0;
}

function notAnAddress(value: unknown): string {
  return `'${String(value).slice(0, 100)}' does not appear to be an IPv4 or IPv6 address`;
}
