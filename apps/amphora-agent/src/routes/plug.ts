import { isIP } from 'node:net';
import { FrameworkError, RequestError } from '../errors.ts';
import type { AgentRequest, Route } from '../http/router.ts';
import { explodeAddress } from '../plugged/address.ts';
import type { PluggedAddresses } from '../plugged/plugged-addresses.ts';

const MAX_JSON_BYTES = 256 * 1024;
/** Octavia's quota of additional VIPs is far below. */
const MAX_ADDRESSES = 256;

type Json = Readonly<Record<string, unknown>>;

/**
 * Plugging in loopback mode: every 127.x.y.z address is on `lo` from the start, so an address is only recorded. Hence there is nothing
 * to wait for, nothing that exists already, and a repeated call answers as the first.
 */
export function plugRoutes(plugged: PluggedAddresses): Route[] {
  return [
    {
      method: 'POST',
      path: '/1.0/plug/vip/:vip',
      maxBodyBytes: MAX_JSON_BYTES,
      handle(request) {
        const { addresses, vips } = readVip(request);
        plugged.add(addresses);
        const details = `VIPs plugged on interface ${plugged.interface}: ${vips.map(explodeAddress).join(', ')}`;
        return { status: 202, body: { message: 'OK', details } };
      },
    },
    {
      method: 'POST',
      path: '/1.0/plug/network',
      maxBodyBytes: MAX_JSON_BYTES,
      handle(request) {
        const { mac, addresses } = readNetwork(request);
        const isKnown = plugged.setNetwork(mac, addresses);
        const verb = isKnown ? 'Updated existing' : 'Plugged on';
        const details = `${verb} interface ${plugged.interface}`;
        return { status: 202, body: { message: 'OK', details } };
      },
    },
  ];
}

function readVip({ params, body }: AgentRequest): { addresses: string[]; vips: string[] } {
  const { vip = '' } = params;
  const fault = new FrameworkError(400, 'Invalid subnet information');
  const port = parseObject(body);
  if (!port || !['subnet_cidr', 'gateway', 'mac_address'].every((key) => key in port)) throw fault;
  if (typeof port.subnet_cidr !== 'string' || typeof port.mac_address !== 'string') throw fault;
  const additional = port.additional_vips ?? [];
  if (!isListOfObjects(additional)) throw fault;
  const others = additional.map((other) => {
    if (!['subnet_cidr', 'ip_address', 'gateway', 'host_routes'].every((key) => key in other)) throw fault;
    return other.ip_address;
  });
  const vips = [vip, ...others].map((address) => {
    if (!isAddress(address)) throw new RequestError(400, `Invalid VIP: ${notAnAddress(address)}`);
    return address;
  });
  const vrrp = port.vrrp_ip ?? null;
  if (vrrp === null) return { addresses: vips, vips };
  if (!isAddress(vrrp)) throw new RequestError(400, `Invalid VRRP Address: ${notAnAddress(vrrp)}`);
  return { addresses: [...vips, vrrp], vips };
}

function readNetwork({ body }: AgentRequest): { mac: string; addresses: string[] } {
  const port = parseObject(body);
  if (!port || typeof port.mac_address !== 'string' || port.mac_address.length > 64)
    throw new FrameworkError(400, 'Invalid port information');
  const fixed = port.fixed_ips ?? [];
  if (!isListOfObjects(fixed)) throw new FrameworkError(400, 'Invalid port information');
  const addresses = fixed.map(({ ip_address: address }) => {
    if (!isAddress(address)) throw new RequestError(400, 'Invalid network port');
    return address;
  });
  return { mac: port.mac_address, addresses };
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
