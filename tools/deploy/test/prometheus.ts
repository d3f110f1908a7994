import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { findPrometheus } from '../src/prometheus.ts';
import { DEPLOY } from '../src/root.ts';

/** One series with its newest value. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Debian's Prometheus with our configuration and alarms, but for the addresses and the intervals. */
export class Prometheus {
  readonly #folder = mkdtempSync(join(tmpdir(), 'octavia-prometheus-'));
  #process: ChildProcess | undefined;
  #url = '';

  /** @param targets host:port by job, such as `octavia-worker` */
  async start(targets: Readonly<Record<string, string>>): Promise<void> {
    const programs = findPrometheus();
    if (!programs) throw new Error('Prometheus is not on this machine.');
    const config = parse(readFileSync(join(DEPLOY, 'prometheus/prometheus.yml'), 'utf8'));
    config.global = { scrape_interval: '500ms', scrape_timeout: '400ms', evaluation_interval: '500ms' };
    config.rule_files = [join(DEPLOY, 'prometheus/alerts.yml')];
    for (const job of config.scrape_configs) job.static_configs = [{ targets: [targets[job.job_name]] }];
    writeFileSync(join(this.#folder, 'prometheus.yml'), stringify(config));
    const address = `127.0.0.1:${await freePort()}`;
    this.#url = `http://${address}`;
    this.#process = spawn(
      programs.prometheus,
      [
        `--config.file=${this.#folder}/prometheus.yml`,
        `--storage.tsdb.path=${this.#folder}/data`,
        `--web.listen-address=${address}`,
      ],
      { stdio: 'ignore' },
    );
  }

  async stop(): Promise<void> {
    if (this.#process && this.#process.exitCode === null) {
      this.#process.kill('SIGTERM');
      await once(this.#process, 'exit');
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Newest values of an expression. @throws Error when Prometheus refuses it */
  async query(expr: string): Promise<Sample[]> {
    const { result } = await this.#get(`query?query=${encodeURIComponent(expr)}`);
    return result.map(({ metric, value }: { metric: Sample['metric']; value: [number, string] }) => ({
      metric,
      value: Number(value[1]),
    }));
  }

  /** Names of all metrics that were ever seen. */
  metrics(): Promise<string[]> {
    return this.#get('label/__name__/values');
  }

  /** Names of all labels that were ever seen. */
  labels(): Promise<string[]> {
    return this.#get('labels');
  }

  /** Alarms that fire, or are about to. */
  async alerts(): Promise<string[]> {
    const { alerts } = await this.#get('alerts');
    return alerts.map(
      ({ labels, state }: { labels: { alertname: string }; state: string }) => `${labels.alertname} ${state}`,
    );
  }

  /** How many rules were evaluated, and how the others failed. */
  async rules(): Promise<{ good: number; faults: string[] }> {
    const { groups } = await this.#get('rules');
    const rules: { name: string; health: string; lastError?: string }[] = groups.flatMap(
      ({ rules: all }: { rules: object[] }) => all,
    );
    return {
      good: rules.filter(({ health }) => health === 'ok').length,
      faults: rules.filter(({ health }) => health === 'err').map(({ name, lastError }) => `${name}: ${lastError}`),
    };
  }

  // biome-ignore lint/suspicious/noExplicitAny: the answers of the API are looked at field by field.
  async #get(path: string): Promise<any> {
    const response = await fetch(`${this.#url}/api/v1/${path}`);
    const { status, data, error } = JSON.parse(await response.text());
    if (status !== 'success') throw new Error(`Prometheus refuses ${path}: ${error}`);
    return data;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}
