import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Web } from './traffic.ts';

/** Answers whoever connects, and says first on which port. Ends with its standard input. */
const SCRIPT = `
const answer = 'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok';
const server = require('node:net').createServer((socket) => {
  socket.on('error', () => {}).once('data', () => socket.end(answer));
});
server.listen(0, process.argv[1], () => process.stdout.write(String(server.address().port)));
process.stdin.resume().on('end', () => process.exit());
`;

/** A member in a process of its own: whatever this process is busy with must not look like a gap. */
export async function startMember(address: string): Promise<Web> {
  const child = spawn(process.execPath, ['-e', SCRIPT, address], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [said] = await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`The member ended with exit code ${code}.`))),
  ]);
  return { address, port: Number(said), close: () => child.stdin.end() };
}
