// Draws one dashboard with Grafana's components: real axes, units, colours, legends. It is not Grafana: it does not prove
// that Grafana accepts the file. ?board=URL of the JSON &prometheus=http://... &theme=dark|light &minutes=N
import React, { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { createDataFrame, createTheme, dateTime, FieldType, getDisplayProcessor, ThemeContext } from '@grafana/data';
import * as ui from '@grafana/ui';

const asked = new URLSearchParams(location.search);
const theme = createTheme({ colors: { mode: asked.get('theme') || 'dark' } });
const minutes = Number(asked.get('minutes') || 10);
const VALUES = { cluster: '.*', hostname: asked.get('hostname') || '.*', source: 'syscall', domain: '.*', instance: '.*' };
const end = Math.floor(Date.now() / 1000);
const begin = end - minutes * 60;
const range = { from: dateTime(begin * 1000), to: dateTime(end * 1000), raw: { from: 'now-10m', to: 'now' } };
const STEP = Math.max(1, Math.round((end - begin) / 600));

async function query(target) {
  const expr = target.expr.replace(/\$(\w+)/g, (_, name) => VALUES[name]);
  const url = new URL(asked.get('prometheus') + (target.instant ? '/api/v1/query' : '/api/v1/query_range'));
  const at = target.instant ? { query: expr, time: end } : { query: expr, start: begin, end, step: STEP };
  Object.entries(at).forEach(([key, value]) => url.searchParams.set(key, value));
  const answer = await (await fetch(url)).json();
  if (answer.status !== 'success') throw new Error(answer.error + ': ' + expr);
  return answer.data.result.map((row) => ({ ...row, target }));
}

const legendOf = (row) => row.target.legendFormat.replace(/{{\s*(\w+)\s*}}/g, (_, name) => row.metric[name] ?? '');

function withOverrides(panel, name) {
  const config = structuredClone(panel.fieldConfig.defaults);
  config.displayName = name;
  for (const { matcher, properties } of panel.fieldConfig.overrides) {
    if (matcher.id !== 'byName' || matcher.options !== name) continue;
    for (const { id, value } of properties) {
      const path = id.split('.');
      const last = path.pop();
      path.reduce((node, key) => (node[key] ??= {}), config)[last] = value;
    }
  }
  return config;
}

function frameOf(panel, row, index) {
  const known = new Map(row.values.map(([at, value]) => [at, Number(value)]));
  const times = [];
  for (let at = begin; at <= end; at += STEP) times.push(at);
  const config = withOverrides(panel, legendOf(row));
  config.color ??= { mode: 'palette-classic' };
  const frame = createDataFrame({
    fields: [
      { name: 'Time', type: FieldType.time, values: times.map((at) => at * 1000), config: {} },
      { name: legendOf(row), type: FieldType.number, values: times.map((at) => known.get(at) ?? null), config },
    ],
  });
  frame.fields.forEach((field) => {
    field.state = { seriesIndex: index };
    field.display = getDisplayProcessor({ field, theme });
  });
  return frame;
}

function Graph({ panel, rows, width, height }) {
  const frames = rows.map((row, index) => frameOf(panel, row, index));
  if (!frames.length) return <Empty panel={panel} />;
  return (
    <ui.TimeSeries
      frames={frames} width={width} height={height} timeRange={range} timeZone="utc"
      legend={panel.options.legend} options={panel.options}
    />
  );
}

function Stat({ panel, rows, width, height }) {
  const values = rows.length ? rows : [null];
  return (
    <div style={{ display: 'flex', width, height }}>
      {values.map((row, index) => {
        const config = withOverrides(panel, row ? legendOf(row) : '');
        const field = { name: '', type: FieldType.number, values: [], config, state: {} };
        const shown = getDisplayProcessor({ field, theme })(row ? Number(row.value[1]) : null);
        if (row && panel.options.textMode === 'name') Object.assign(shown, { text: legendOf(row), suffix: '', prefix: '' });
        const title = values.length > 1 && panel.options.textMode !== 'name' ? legendOf(row) : '';
        return (
          <ui.BigValue
            key={index} theme={theme} width={width / values.length} height={height} value={{ ...shown, title }}
            colorMode={panel.options.colorMode} graphMode="none" justifyMode={panel.options.justifyMode}
          />
        );
      })}
    </div>
  );
}

function Rows({ panel, rows }) {
  const organize = panel.transformations.find((item) => item.id === 'organize').options;
  const merged = new Map();
  for (const row of rows) {
    const { __name__, ...labels } = row.metric;
    const key = JSON.stringify(Object.entries(labels).sort());
    const column = panel.targets.length > 1 ? `Value #${row.target.refId}` : 'Value';
    merged.set(key, { ...(merged.get(key) ?? labels), [column]: Number(row.value[1]) });
  }
  const lines = [...merged.values()];
  if (!lines.length) return <Empty panel={panel} />;
  const names = [...new Set(lines.flatMap((line) => Object.keys(line)))].sort((a, b) => a.startsWith('Value') - b.startsWith('Value'));
  const titles = names.map((name) => organize.renameByName[name] ?? name);
  const [{ displayName }] = panel.options.sortBy;
  const first = names[titles.indexOf(displayName)];
  lines.sort((a, b) => (b[first] ?? -1) - (a[first] ?? -1));
  const displays = titles.map((title) => getDisplayProcessor({ field: { name: title, type: FieldType.number, values: [], config: withOverrides(panel, title), state: {} }, theme }));
  return (
    <table>
      <thead><tr>{titles.map((title) => <th key={title}>{title}</th>)}</tr></thead>
      <tbody>
        {lines.map((line, at) => (
          <tr key={at}>
            {names.map((name, column) => {
              const value = line[name];
              if (typeof value !== 'number') return <td key={name}>{value ?? ''}</td>;
              const { text, prefix, suffix, color } = displays[column](value);
              return <td key={name} className="number" style={{ color }}>{(prefix ?? '') + text + (suffix ?? '')}</td>;
            })}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const Empty = ({ panel }) => <div className="empty">{panel.fieldConfig.defaults.noValue}</div>;
const KINDS = { timeseries: Graph, stat: Stat, table: Rows };

function Panel({ panel, unit }) {
  const [rows, setRows] = useState(null);
  useEffect(() => { Promise.all(panel.targets.map(query)).then((all) => setRows(all.flat())); }, []);
  const { x, y, w, h } = panel.gridPos;
  const [width, height] = [w * unit - 8, h * 38 - 8];
  const Kind = KINDS[panel.type];
  return (
    <section data-panel={panel.id} data-ready={rows !== null} style={{ left: x * unit, top: y * 38, width, height }}>
      <h2 title={panel.description}>{panel.title}</h2>
      <div className="body">{rows && <Kind panel={panel} rows={rows} width={width - 16} height={height - 40} />}</div>
    </section>
  );
}

function Board({ board }) {
  const unit = (document.documentElement.clientWidth - 16) / 24;
  const height = Math.max(...board.panels.map(({ gridPos }) => gridPos.y + gridPos.h)) * 38;
  return (
    <ThemeContext.Provider value={theme}>
      <h1>{board.title}</h1>
      <main style={{ height }}>{board.panels.map((panel) => <Panel key={panel.id} panel={panel} unit={unit} />)}</main>
    </ThemeContext.Provider>
  );
}

const { background, text, border } = theme.colors;
document.head.insertAdjacentHTML('beforeend', `<style>
  body { margin: 8px; background: ${background.canvas}; color: ${text.primary}; font: 13px ${theme.typography.fontFamily}; }
  h1 { font-size: 18px; margin: 4px 0 10px; } main { position: relative; }
  section { position: absolute; background: ${background.primary}; border: 1px solid ${border.weak}; overflow: hidden; box-sizing: border-box; }
  h2 { font-size: 13px; font-weight: 500; margin: 8px; } .body { margin: 0 8px; }
  button { color: inherit; background: none; border: 0; font: inherit; } .empty { color: ${text.secondary}; text-align: center; padding-top: 20px; font-size: 15px; }
  table { width: 100%; border-collapse: collapse; } th { text-align: left; color: ${theme.colors.primary.text}; font-weight: 500; }
  td, th { padding: 4px 8px; border-bottom: 1px solid ${border.weak}; } td.number { font-variant-numeric: tabular-nums; }
</style>`);
const board = await (await fetch(asked.get('board'))).json();
createRoot(document.getElementById('root')).render(<Board board={board} />);
