"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const rows = data.rows;
  const count = rows.iter.length;
  const byId = (id) => document.getElementById(id);
  const status = (i) => data.statuses[rows.status[i]];
  const params = (i) => data.params[rows.params[i]];
  const label = (i) => (data.shards.length > 1 ? data.shards[rows.shard[i]] + ":" : "") + rows.iter[i];
  const ms = (value) => (value === null ? "-" : value.toPrecision(5) + " ms");
  const signed = (value) => (value === null ? "-" : (value > 0 ? "+" : "") + value.toPrecision(3) + " ms");
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  // ---- the table of all iterations: one page of it is in the document at a time ----
  const pageSize = 100;
  const table = { page: 0, shown: [], chosen: -1 };
  const cellsOf = (i) => [
    label(i), ms(rows.score[i]), signed(rows.delta[i]), ...rows.family.map((times) => ms(times[i])), status(i),
    data.outcomes[rows.outcome[i]], params(i), rows.description[i],
  ];
  function drawTable() {
    const body = byId("rows");
    body.replaceChildren();
    for (const i of table.shown.slice(table.page * pageSize, (table.page + 1) * pageSize)) {
      const tr = document.createElement("tr");
      tr.id = "row-" + i;
      if (i === table.chosen) tr.className = "chosen";
      cellsOf(i).forEach((text, column) => {
        const td = document.createElement("td");
        if (column >= 1 && column <= 5) td.className = "n";
        if (column === 6) td.className = status(i);
        const target = column === 8 ? td.appendChild(document.createElement("code")) : td;
        target.textContent = text;
        tr.appendChild(td);
      });
      body.appendChild(tr);
    }
    const pages = Math.max(1, Math.ceil(table.shown.length / pageSize));
    byId("page").textContent = `${table.shown.length} iterations, page ${table.page + 1} of ${pages}`;
    byId("before").disabled = table.page === 0;
    byId("after").disabled = table.page + 1 >= pages;
  }
  function filterTable() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = byId("status").value;
    table.shown = [];
    for (let i = 0; i < count; i++) {
      if (wanted && status(i) !== wanted) continue;
      const text = words.length ? `${label(i)} ${params(i)} ${rows.description[i]}`.toLowerCase() : "";
      if (words.every((word) => text.includes(word))) table.shown.push(i);
    }
    const scores = (i) => (rows.score[i] === null ? Infinity : rows.score[i]);
    if (byId("order").value === "fastest") table.shown.sort((a, b) => scores(a) - scores(b) || a - b);
    if (byId("order").value === "newest") table.shown.reverse();
    table.page = 0;
    drawTable();
  }
  function showRow(i) {
    byId("search").value = "";
    byId("status").value = "";
    filterTable();
    table.chosen = i;
    table.page = Math.floor(table.shown.indexOf(i) / pageSize);
    drawTable();
    byId("row-" + i).scrollIntoView({ block: "center" });
  }

  // ---- charts ----
  // Outliers would flatten everything worth seeing: what is slower than twice the median is drawn at the upper edge.
  const timeOf = (i) => (rows.score[i] !== null ? rows.score[i] : rows.bound[i]);
  const sorted = rows.iter.map((_, i) => timeOf(i)).filter((value) => value !== null).sort((a, b) => a - b);
  const middle = sorted.length ? sorted[Math.floor(sorted.length / 2)] : 1;
  const lowest = sorted.length ? sorted[0] : 1;
  const highest = sorted.length ? sorted[sorted.length - 1] : 1;
  const firstKept = rows.score.find((value, i) => value !== null && status(i) === "keep") || middle;
  const top = Math.min(highest, Math.max(2 * middle, 1.15 * firstKept));
  const edge = top + 0.04 * (top - lowest || top);
  const longest = Math.max(...rows.seconds, 0);
  const unit = longest >= 7200 ? { name: "hours", seconds: 3600 } : longest >= 120 ? { name: "minutes", seconds: 60 } : { name: "seconds", seconds: 1 };
  const xOf = { iteration: (i) => (data.shards.length > 1 ? i + 1 : rows.iter[i]), time: (i) => rows.seconds[i] / unit.seconds };
  const xTitle = () => (xName === "time" ? `${unit.name} since the first iteration ended` : "iteration");
  const height = (i) => (timeOf(i) === null ? edge : Math.min(timeOf(i), edge));

  function wrapped(text, width) {
    const lines = [];
    for (let rest = text; rest; ) {
      let end = Math.min(width, rest.length);
      if (rest.length > width) {
        const cut = Math.max(rest.lastIndexOf(",", width), rest.lastIndexOf(" ", width));
        if (cut > width / 2) end = cut + 1;
      }
      lines.push(rest.slice(0, end));
      rest = rest.slice(end);
    }
    return lines.slice(0, 8);
  }
  function tooltipLines(i) {
    const score = rows.score[i] !== null ? ms(rows.score[i]) + (rows.delta[i] === null ? "" : ` (${signed(rows.delta[i])})`)
      : rows.bound[i] !== null ? `stopped early: at least ${ms(rows.bound[i])}` : data.outcomes[rows.outcome[i]];
    const width = window.innerWidth < 640 ? 34 : 64;
    return [score, ...wrapped(params(i), width), ...wrapped(rows.description[i], width)];
  }
  function pointsOf(wanted, x) {
    const points = [];
    for (let i = 0; i < count; i++) if (status(i) === wanted) points.push({ x: x(i), y: height(i), i });
    return points;
  }
  function stairsOf(shard, x, valueOf) {
    const points = [];
    let last = -1;
    for (let i = 0; i < count; i++) {
      if (rows.shard[i] !== shard) continue;
      last = i;
      if (status(i) === "keep" && valueOf(i) !== null) points.push({ x: x(i), y: valueOf(i), i });
    }
    if (points.length && last >= 0) points.push({ x: x(last), y: points[points.length - 1].y });
    return points;
  }
  const charts = [];
  function draw(id, config) {
    const canvas = byId(id);
    if (!canvas) return null;
    config.options = Object.assign({ animation: false, maintainAspectRatio: false, normalized: true, parsing: false }, config.options);
    const chart = new Chart(canvas, config);
    charts.push(chart);
    return chart;
  }
  const axis = (text, extra) => Object.assign(
    { title: { display: true, text, color: color("muted") }, ticks: { color: color("muted"), maxRotation: 0 }, grid: { color: color("line") } }, extra);
  const legend = () => ({ labels: { color: color("text"), usePointStyle: true, boxWidth: 8, boxHeight: 6, filter: (item) => item.text } });
  const onClick = (event, elements, chart) => {
    const hit = elements.map((element) => chart.data.datasets[element.datasetIndex].data[element.index]).find((point) => point.i !== undefined);
    if (hit) showRow(hit.i);
  };
  const tooltip = {
    displayColors: false, filter: (item) => item.raw.i !== undefined,
    callbacks: { title: (items) => items.length ? `iteration ${label(items[0].raw.i)}: ${status(items[0].raw.i)}` : "",
      label: (item) => tooltipLines(item.raw.i) },
  };

  let xName = location.hash === "#chart-time" ? "time" : "iteration";
  const xStart = () => (count ? xOf[xName](0) : 0);
  const xEnd = () => rows.iter.reduce((most, _, i) => Math.max(most, xOf[xName](i)), 0);
  function drawStairs() {
    const x = xOf[xName];
    const size = (count > 3000 ? 1.5 : count > 500 ? 2.5 : 4) * (window.innerWidth < 640 ? 0.65 : 1);
    // A candidate stopped early is hollow: its time is at least what is drawn.
    const fill = (name) => (point) => (point.raw && point.raw.i !== undefined && rows.score[point.raw.i] === null ? "transparent" : color(name));
    const scatter = (name, pointStyle, radius) => ({
      type: "scatter", label: name, data: pointsOf(name, x), backgroundColor: color(name), pointBackgroundColor: fill(name),
      borderColor: color(name), pointStyle, pointRadius: radius, pointHoverRadius: radius + 3,
    });
    const stairs = data.shards.map((shard, k) => ({
      type: "line", label: k === 0 ? "best kept" : "", data: stairsOf(k, x, (i) => rows.score[i]), stepped: "before",
      borderColor: color("keep"), borderWidth: 2, pointRadius: 0, pointHitRadius: 0, pointStyle: "line",
    }));
    for (const line of stairs) line.stepped = "before";
    return draw("stairs", {
      data: { datasets: [scatter("keep", "circle", size + 1.5), scatter("discard", "circle", size), scatter("crash", "crossRot", size + 1), ...stairs] },
      options: {
        onClick, interaction: { mode: "nearest", intersect: true },
        plugins: { legend: legend(), tooltip },
        scales: {
          x: axis(xTitle(), { type: "linear", max: xEnd() || undefined }),
          y: axis("score, ms (lower is better)", { max: edge + 0.02 * (edge - lowest), suggestedMin: lowest - 0.06 * (edge - lowest) }),
        },
      },
    });
  }
  function drawFamilies() {
    const names = ["window", "global", "retrieval"];
    const line = (name, points, style) => Object.assign({ type: "line", label: name, data: points, borderColor: color(name),
      backgroundColor: color(name), borderWidth: 2, pointRadius: 0, pointStyle: "line" }, style);
    const best = names.map((name, k) => line(name, stairsOf(0, xOf[xName], (i) => rows.family[k][i]), { stepped: "before", pointHitRadius: 6 }));
    const floors = names.flatMap((name, k) => (data.floors[k] === null ? [] : [line(name, [{ x: xStart(), y: data.floors[k] },
      { x: xEnd(), y: data.floors[k] }], { label: "", borderDash: [4, 4], borderWidth: 1, pointHitRadius: 0 })]));
    return draw("families", {
      data: { datasets: [...best, ...floors] },
      options: {
        onClick, interaction: { mode: "nearest", intersect: true }, plugins: { legend: legend(), tooltip },
        scales: { x: axis(xTitle(), { type: "linear", max: xEnd() || undefined }), y: axis("best kept, ms", { beginAtZero: true }) },
      },
    });
  }
  function drawEffects() {
    if (!data.effects.length || !byId("effects")) return null;
    const narrow = byId("effects").parentElement.clientWidth < 560;
    const items = data.effects.map((item) => Object.assign({}, item, { name: narrow ? item.name.replace(/ \(.*/, "") : item.name }));
    byId("effects").parentElement.style.height = 60 + 22 * items.length + "px";
    const bar = (name, tone, thickness, range) => ({
      label: name, data: items.map((item, k) => ({ x: range(item), y: item.name })), backgroundColor: tone, grouped: false,
      barThickness: thickness,
    });
    const reach = Math.max(...items.map((item) => Math.max(Math.abs(item.low), Math.abs(item.high))), 0.01) * 100;
    const mark = reach * 0.006;
    return draw("effects", {
      type: "bar",
      data: { labels: items.map((item) => item.name), datasets: [
        bar("95 % interval", color("line"), 12, (item) => [100 * item.low, 100 * item.high]),
        bar("effect", color("window"), 16, (item) => [100 * item.share - mark, 100 * item.share + mark]),
      ] },
      options: {
        indexAxis: "y", parsing: true, normalized: false,
        plugins: { legend: legend(), tooltip: { displayColors: false, callbacks: { label: (point) => {
          const item = items[point.dataIndex];
          const percent = (value) => (value >= 0 ? "+" : "") + (100 * value).toFixed(1) + " %";
          return [`${percent(item.share)} (${percent(item.low)} to ${percent(item.high)})`, `${item.results} results`];
        } } } },
        scales: { x: axis("% slower than with the best kernel's value", { grid: { color: (line) => color(line.tick.value === 0 ? "muted" : "line") } }), y: { ticks: { color: color("text"), autoSkip: false }, grid: { display: false } } },
      },
    });
  }
  function drawAll() {
    while (charts.length) charts.pop().destroy();
    Chart.defaults.font.family = "system-ui, sans-serif";
    for (const name of Object.keys(xOf)) byId("by-" + name).setAttribute("aria-pressed", String(name === xName));
    const stairs = drawStairs();
    drawFamilies();
    drawEffects();
    // For tests: what is really on the canvas.
    const drawn = stairs.data.datasets.slice(0, 3).map((set, k) => stairs.getDatasetMeta(k).data.length);
    Object.assign(document.body.dataset, {
      charts: charts.length, keep: drawn[0], discard: drawn[1], crash: drawn[2],
      stairs: stairs.data.datasets[3].data.filter((point) => point.i !== undefined).length,
      last: stairs.data.datasets[3].data.length ? stairs.data.datasets[3].data.slice(-1)[0].y : "",
    });
  }

  for (const name of Object.keys(xOf)) {
    byId("by-" + name).addEventListener("click", () => {
      xName = name;
      drawAll();
    });
  }
  byId("search").addEventListener("input", filterTable);
  byId("status").addEventListener("change", filterTable);
  byId("order").addEventListener("change", filterTable);
  byId("before").addEventListener("click", () => { table.page--; drawTable(); });
  byId("after").addEventListener("click", () => { table.page++; drawTable(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  const tooSlow = sorted.filter((value) => value > edge).length;
  const remarks = ["Hover for parameters, click for the row."];
  if (rows.bound.some((bound) => bound !== null)) remarks.push("Hollow: stopped early, at least so slow.");
  remarks.push(tooSlow ? `${tooSlow} slower than ${ms(top)} are at the upper edge, crashes too.` : "Crashes are at the upper edge.");
  byId("edge").textContent = remarks.join(" ");
  filterTable();
  drawAll();
  if (location.hash.startsWith("#chart")) document.body.classList.add("chart-only");
  function followAddress() {
    const target = /^#iter-(\d+)$/.exec(location.hash);
    const i = target ? rows.iter.indexOf(Number(target[1])) : -1;
    if (i >= 0) showRow(i);
  }
  addEventListener("hashchange", followAddress);
  followAddress();
})();
