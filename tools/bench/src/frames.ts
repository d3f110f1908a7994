import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Guest } from '@octavia/drivers/testing';

/** A frame with a VIP as its sender. */
export interface Frame {
  /** By Date.now(). */
  readonly at: number;
  readonly mac: string;
}

/** How often it asks who has each VIP: whoever holds it answers, not only the one to whom the client talks. */
const ASK_EVERY_MS = 20;

/**
 * Reads all frames of the guest's interface from a packet socket, which Node has not; perl-base is in every Debian. A line for each
 * frame whose sender is one of the VIPs, by IPv4 or by ARP. It asks for the VIPs by ARP all the while.
 * 17 is AF_PACKET, 3 SOCK_RAW, 0x0300 ETH_P_ALL in network order. Source: packet(7), RFC 826.
 */
const SCRIPT = `
use strict; use Socket; use Time::HiRes qw(time);
my ($address, $device, $milliseconds, @vips) = @ARGV; $| = 1;
my ($own, $every) = (inet_aton($address), $milliseconds / 1000);
my %vips = map { inet_aton($_) => $_ } @vips;
sub of { open(my $file, '<', "/sys/class/net/$device/$_[0]") or die "$device: $!"; my $text = <$file>; chomp $text; $text }
my ($index, $mac) = (of('ifindex'), pack('H2' x 6, split(':', of('address'))));
my $everybody = "\\xff" x 6;
my $head = $everybody . $mac . pack('n n n C C n', 0x0806, 1, 0x0800, 6, 4, 1) . $mac . $own . ("\\0" x 6);
my $to = pack('S n l S C C a8', 17, 0x0806, $index, 1, 0, 6, $everybody);
socket(my $socket, 17, 3, 0x0300) or die "no packet socket: $!";
print "ready\\n";
my $next = 0;
while (1) {
  if (time >= $next) {
    for my $vip (keys %vips) { send($socket, $head . $vip, 0, $to) or warn "no question: $!"; }
    $next = time + $every;
  }
  my $read = ''; vec($read, fileno($socket), 1) = 1;
  next unless select($read, undef, undef, $every / 2) > 0;
  my $from = recv($socket, my $frame, 128, 0);
  next unless defined $from && length $frame >= 34;
  # What this machine sends itself: sll_pkttype 4.
  next if unpack('x10 C', $from) == 4;
  my $type = unpack('x12 n', $frame);
  my $sender = $type == 0x0806 ? substr($frame, 28, 4) : $type == 0x0800 ? substr($frame, 26, 4) : '';
  my $vip = $vips{$sender};
  next unless defined $vip;
  printf "%d %s %s\\n", time * 1000, $vip, join(':', map { sprintf '%02x', $_ } unpack('x6 C6', $frame));
}
`;

/** Whose frames from which VIP reach a client, and when. */
export class Frames {
  readonly #child: ChildProcess;
  readonly #seen = new Map<string, Frame[]>();

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Listens from now on. @throws Error when it cannot */
  static async open(guest: Guest, vips: readonly string[]): Promise<Frames> {
    const settings = [guest.address, guest.device, String(ASK_EVERY_MS), ...vips];
    const command = ['netns', 'exec', guest.namespace, 'perl', '-e', SCRIPT, ...settings];
    const child = spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'] });
    const frames = new Frames(child);
    await new Promise<void>((done, fail) => {
      child.once('error', fail);
      child.once('exit', (code) => fail(new Error(`Listening for frames ended with exit code ${code}.`)));
      createInterface({ input: child.stdout }).on('line', (line) => {
        const [at, vip = '', mac] = line.split(' ');
        if (mac === undefined) done();
        else frames.#of(vip).push({ at: Number(at), mac });
      });
    });
    return frames;
  }

  /** What was seen of a VIP since the last call. */
  take(vip: string): Frame[] {
    const seen = this.#of(vip);
    this.#seen.delete(vip);
    return seen;
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }

  #of(vip: string): Frame[] {
    const seen = this.#seen.get(vip) ?? [];
    this.#seen.set(vip, seen);
    return seen;
  }
}

/**
 * How long frames of more than one MAC address came, in milliseconds: the longest time that two of them share, each from its first
 * frame to its last.
 */
export function sharedMs(frames: readonly Frame[]): number {
  const spans = new Map<string, { first: number; last: number }>();
  for (const { at, mac } of frames) {
    const span = spans.get(mac);
    spans.set(mac, { first: Math.min(span?.first ?? at, at), last: Math.max(span?.last ?? at, at) });
  }
  const all = [...spans.values()];
  const pairs = all.flatMap((one, i) => all.slice(i + 1).map((other) => [one, other] as const));
  return Math.max(0, ...pairs.map(([one, other]) => Math.min(one.last, other.last) - Math.max(one.first, other.first)));
}
