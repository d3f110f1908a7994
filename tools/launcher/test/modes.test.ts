import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { openHome } from '../src/home.ts';
import { openInstallation } from '../src/installation.ts';
import { MachineNotReady, prepareMachine } from '../src/machine.ts';

async function newHome() {
  const path = mkdtempSync(join(tmpdir(), 'octavia-modes-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return openHome(path);
}

describe('the mode of an installation', () => {
  it('is loopback unless something else is asked for, and is kept', async () => {
    const home = await newHome();
    expect((await openInstallation(home)).mode).toBe('loopback');
    const other = await newHome();
    expect((await openInstallation(other, 'namespaces')).mode).toBe('namespaces');
    expect((await openInstallation(other)).mode).toBe('namespaces');
  });

  it('may change while there is nothing, and not once there are amphorae or VIPs', async () => {
    const home = await newHome();
    const { id } = await openInstallation(home, 'loopback');
    expect(await openInstallation(home, 'namespaces')).toMatchObject({ id, mode: 'namespaces' });
    for (const made of [join(home.amphorae, 'one'), join(home.path, 'network/vips/198.18.0.5')]) {
      mkdirSync(made, { recursive: true });
      await expect(openInstallation(home, 'loopback')).rejects.toThrow(
        `The installation in ${home.path} is in namespaces mode and has amphorae`,
      );
      rmSync(made, { recursive: true });
    }
    expect((await openInstallation(home)).mode).toBe('namespaces');
  });

  it('tells a plain user that namespaces need root, before anything is installed or made', async () => {
    vi.spyOn(process, 'getuid').mockReturnValue(1000);
    onTestFinished(() => void vi.restoreAllMocks());
    const starting = prepareMachine('namespaces', () => {});
    await expect(starting).rejects.toBeInstanceOf(MachineNotReady);
    await expect(starting).rejects.toThrow('Namespaces mode needs root');
  });
});
