import { describe, expect, it } from 'vitest';
import { allQueries, labelsOf, metricsOf } from './queries.ts';

describe('reading an expression', () => {
  it('finds its metrics, and takes neither labels nor functions for them', () => {
    const expr =
      'sum by (job, rpc_method) (rate(rpc_calls{code=~"A|B", x!="y{z}"}[5m])) > 0.05 * max(other_total) and on () up == 0';
    expect(metricsOf(expr)).toEqual(['rpc_calls', 'other_total', 'up']);
    expect(metricsOf('histogram_quantile(0.99, sum by (le) (rate(d_bucket[$__rate_interval])))')).toEqual(['d_bucket']);
    expect(metricsOf('min(a_remaining) < 30 * 86400 or absent(b)')).toEqual(['a_remaining', 'b']);
  });

  it('finds its labels', () => {
    expect(labelsOf('sum by (le, job) (rate(x{code=~"a=b", kind!="c"}[5m])) == 0')).toEqual(['code', 'kind', 'job']);
  });

  it('finds all dashboards and alarms', () => {
    expect(allQueries().length).toBeGreaterThan(40);
  });
});
