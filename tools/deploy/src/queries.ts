import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { DEPLOY } from './root.ts';

/** An expression in PromQL, and where it stands. */
export interface Query {
  readonly where: string;
  readonly expr: string;
}

/** Every expression of the dashboards and of the alarms. */
export function allQueries(): Query[] {
  const dashboards = globSync('grafana/dashboards/*.json', { cwd: DEPLOY }).flatMap((file) => {
    const { panels } = JSON.parse(readFileSync(join(DEPLOY, file), 'utf8'));
    return panels.flatMap(({ title, targets = [] }: Panel) =>
      targets.flatMap(({ expr }) => (expr === undefined ? [] : [{ where: `${file}: ${title}`, expr }])),
    );
  });
  return [...dashboards, ...alerts().map(({ alert, expr }) => ({ where: `alert ${alert}`, expr }))];
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr?: string }[];
}

/** An alarm as it stands in alerts.yml. */
export interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity?: string };
  readonly annotations: { readonly summary?: string; readonly description?: string; readonly runbook?: string };
}

/** The alarms. */
export function alerts(): Alert[] {
  const { groups } = parse(readFileSync(join(DEPLOY, 'prometheus/alerts.yml'), 'utf8'));
  return groups.flatMap(({ rules }: { rules: Alert[] }) => rules);
}

/** Words of PromQL that stand where a metric could. */
const WORDS = new Set(['and', 'or', 'unless', 'bool', 'offset', 'inf', 'nan']);

/** Names of the metrics that an expression reads. */
export function metricsOf(expr: string): string[] {
  const bare = expr
    .replace(/"(?:[^"\\]|\\.)*"/g, '""')
    .replace(/\{[^}]*\}/g, ' ')
    .replace(/\[[^\]]*\]/g, ' ')
    .replace(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ');
  const names = [...bare.matchAll(/(?<![\w.:$])([a-zA-Z_:][\w:]*)(?!\s*\()(?![\w:])/g)].map(([, name = '']) => name);
  return [...new Set(names.filter((name) => !WORDS.has(name.toLowerCase())))];
}

/** Names of the labels that an expression selects or groups by. */
export function labelsOf(expr: string): string[] {
  const bare = expr.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  const selected = [...bare.matchAll(/([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)/g)].map(([, name = '']) => name);
  const grouped = [...bare.matchAll(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g)].flatMap(([, list = '']) =>
    list.split(',').map((name) => name.trim()),
  );
  return [...new Set([...selected, ...grouped].filter((name) => name !== '' && name !== 'le'))];
}
