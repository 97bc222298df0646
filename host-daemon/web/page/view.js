// SPDX-License-Identifier: MIT
// The page of guestcl-web: asks for the status each second, draws charts and tables.
//
// Names come from guests: they become text, never markup.
"use strict";

const INTERVAL = 1000;
const POINTS = 300; // of a chart
const LINES = 24; // of a chart; the rest is one line
const OTHERS = "(others)";

const byId = (id) => document.getElementById(id);

// ------------------------------------------------------------ numbers

function bytes(value) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
	let unit = 0;

	for (; value >= 1000 && unit < units.length - 1; unit++) {
		value /= 1024;
	}
	return `${value.toFixed(unit && value < 99.95 ? 1 : 0)} ${units[unit]}`;
}

const percent = (value) => (value === null ? "–" : `${value.toFixed(1)} %`);
const perSecond = (value) => (value === null ? "–" : `${bytes(value)}/s`);
const count = (value) => (value === null ? "–" : Math.round(value).toLocaleString("en"));

function age(seconds) {
	const all = Math.max(0, Math.floor(seconds || 0));

	if (all < 60) {
		return `${all} s`;
	}
	if (all < 3600) {
		return `${Math.floor(all / 60)} min ${all % 60} s`;
	}
	return `${Math.floor(all / 3600)} h ${Math.floor(all / 60) % 60} min`;
}

// Rates per second of two answers: null where there is none.
function rateOf(status, before) {
	const elapsed = before && before.daemon.pid === status.daemon.pid ? status.time_ns - before.time_ns : 0;
	const old = new Map();

	for (const list of ["devices", "vms", "sessions"]) {
		for (const item of before ? before[list] : []) {
			old.set(`${list} ${item.id}`, item);
		}
	}
	return (list, item, key) => {
		const was = old.get(`${list} ${item.id}`);

		if (elapsed <= 0 || !was) {
			return null;
		}
		return Math.max(0, ((item[key] || 0) - (was[key] || 0)) / (elapsed * 1e-9));
	};
}

const busy = (rate, list, item, key = "device_time_ns") => {
	const value = rate(list, item, key);

	return value === null ? null : value * 1e-7;
};

// ------------------------------------------------------------ charts

const colors = new Map();

// Hues by the golden angle: neighbours differ, and a VM keeps its own.
function colorOf(name) {
	if (!colors.has(name)) {
		colors.set(name, `hsl(${(210 + colors.size * 137.508) % 360} 65% 50%)`);
	}
	return name === OTHERS ? "hsl(0 0% 55%)" : colors.get(name);
}

// Between the lines of a scale of bytes: a power of two.
function step(sets) {
	const most = Math.max(1, ...sets.map((set) => Math.max(...set.data)));

	return 2 ** Math.ceil(Math.log2(most / 6));
}

class Lines {
	constructor(canvas, format, binary = false) {
		this.binary = binary;
		const style = getComputedStyle(document.body);
		const grid = style.getPropertyValue("--line");
		const ticks = {color: style.getPropertyValue("--faint")};

		this.chart = new Chart(byId(canvas), {
			type: "line",
			data: {labels: [], datasets: []},
			options: {
				animation: false,
				maintainAspectRatio: false,
				interaction: {mode: "index", intersect: false},
				elements: {point: {radius: 0}, line: {borderWidth: 2}},
				scales: {
					x: {ticks: {...ticks, maxTicksLimit: 6, maxRotation: 0}, grid: {display: false}},
					y: {beginAtZero: true, ticks: {...ticks, callback: format}, grid: {color: grid}},
				},
				plugins: {
					legend: {position: "bottom", labels: {...ticks, boxWidth: 12}},
					tooltip: {
						callbacks: {label: (item) => `${item.dataset.label}: ${format(item.parsed.y)}`},
					},
				},
			},
		});
	}

	lineOf(name) {
		const sets = this.chart.data.datasets;
		let set = sets.find((one) => one.label === name);

		if (!set) {
			set = {
				label: name,
				data: Array(this.chart.data.labels.length).fill(null),
				borderColor: colorOf(name),
				backgroundColor: colorOf(name),
			};
			sets.push(set);
		}
		return set;
	}

	// values: a Map of name and number, of one moment.
	add(time, values) {
		const data = this.chart.data;
		const sums = new Map();

		for (const [name, value] of values) {
			const known = data.datasets.some((set) => set.label === name);
			const own = known || data.datasets.length + sums.size < LINES ? name : OTHERS;

			sums.set(own, (sums.get(own) || 0) + value);
		}
		sums.forEach((_, name) => this.lineOf(name));
		data.labels.push(time);
		for (const set of data.datasets) {
			set.data.push(sums.has(set.label) ? sums.get(set.label) : null);
		}
		if (data.labels.length > POINTS) {
			data.labels.shift();
			data.datasets.forEach((set) => set.data.shift());
		}
		data.datasets = data.datasets.filter((set) => set.data.some((value) => value !== null));
		if (this.binary) {
			this.chart.options.scales.y.ticks.stepSize = step(data.datasets);
		}
		this.chart.update("none");
	}
}

// ------------------------------------------------------------ tables

// columns: [head, cell of an item, "number" or ""]; a cell is text or a node.
function table(id, items, columns) {
	const head = document.createElement("tr");
	const rows = [head];

	for (const [title, , kind] of columns) {
		const cell = document.createElement("th");

		cell.textContent = title;
		cell.className = kind || "";
		head.append(cell);
	}
	for (const item of items) {
		const row = document.createElement("tr");

		for (const [, value, kind] of columns) {
			const cell = document.createElement("td");

			cell.append(value(item));
			cell.className = kind === "state" ? item.state : kind || "";
			row.append(cell);
		}
		rows.push(row);
	}
	byId(id).replaceChildren(...rows);
}

function key(vm) {
	const mark = document.createElement("span");
	const cell = document.createElement("span");

	mark.className = "key";
	mark.style.background = colorOf(vm.name);
	cell.append(mark, vm.name);
	return cell;
}

const limit = (value) => (value ? bytes(value) : "–");

function tables(status, rate) {
	const usage = (list) => [
		["Busy", (item) => percent(busy(rate, list, item)), "number"],
		["Waiting", (item) => percent(busy(rate, list, item, "wait_time_ns")), "number"],
		["In", (item) => perSecond(rate(list, item, "bytes_from_guest")), "number"],
		["Out", (item) => perSecond(rate(list, item, "bytes_to_guest")), "number"],
		["Calls/s", (item) => count(rate(list, item, "calls")), "number"],
		["Errors", (item) => count(item.errors || 0), "number"],
	];

	table("devices", status.devices, [
		["", (item) => String(item.id)],
		["Name", (item) => item.name],
		["Platform", (item) => item.platform],
		["Type", (item) => item.type],
		["Busy", (item) => percent(busy(rate, "devices", item)), "number"],
		["Waiting", (item) => percent(busy(rate, "devices", item, "wait_time_ns")), "number"],
		["Queue", (item) => count(item.sessions_waiting || 0), "number"],
		["Held", (item) => bytes(item.held_bytes), "number"],
		["Memory", (item) => bytes(item.memory_bytes), "number"],
	]);
	table("vms", status.vms, [
		["Name", key],
		["State", (item) => item.state, "state"],
		["Sessions", (item) => count(item.sessions), "number"],
		["Weight", (item) => String(item.limits.weight ?? "–"), "number"],
		["Memory", (item) => bytes(item.memory_bytes), "number"],
		["Limit", (item) => limit(item.limits.memory_bytes), "number"],
		...usage("vms"),
	]);
	table("sessions", status.sessions, [
		["", (item) => String(item.id)],
		["VM", (item) => item.vm],
		["Program", (item) => item.program],
		["State", (item) => item.state, "state"],
		["Way", (item) => (item.peer ? `${item.channel}, ${item.peer}` : item.channel)],
		["Age", (item) => age(item.age_s), "number"],
		["Memory", (item) => bytes(item.memory_bytes), "number"],
		...usage("sessions"),
	]);
}

// ------------------------------------------------------------

let charts = null;
let before = null;

function show(status) {
	const rate = rateOf(status, before);
	const daemon = status.daemon;

	byId("daemon").textContent =
		`guestcld ${daemon.version}, up ${age(daemon.uptime_s)}: ${daemon.sessions} sessions, ` +
		`${daemon.workers} workers, ${daemon.refused} guests refused`;
	tables(status, rate);
	if (charts) {
		const time = new Date().toLocaleTimeString("en", {hour12: false});
		const times = status.vms.map((vm) => [vm.name, busy(rate, "vms", vm)]);

		charts.time.add(time, times.filter(([, value]) => value !== null));
		charts.memory.add(time, status.vms.map((vm) => [vm.name, vm.memory_bytes]));
	}
	before = status;
}

async function refresh() {
	let trouble = "";

	try {
		const answer = await fetch("api/status", {cache: "no-store", signal: AbortSignal.timeout(10000)});

		if (answer.ok) {
			show(await answer.json());
		} else {
			trouble = answer.status === 401 ? "guestcl-web was restarted: open it with ?token=TOKEN again"
							: (await answer.text()).trim();
		}
	} catch {
		trouble = "guestcl-web doesn't answer";
	}
	byId("trouble").textContent = trouble;
	setTimeout(refresh, INTERVAL);
}

if (window.Chart) {
	charts = {time: new Lines("time", (value) => percent(Number(value))), memory: new Lines("memory", bytes, true)};
} else {
	document.querySelector(".charts").hidden = true;
}
refresh();
