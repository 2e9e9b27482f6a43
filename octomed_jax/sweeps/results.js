"use strict";
(() => {
  const chart = document.querySelector("#figure-parallel svg.parallel");
  const form = document.getElementById("brushes");
  const told = document.getElementById("brushed");
  const rails = [...chart.querySelectorAll(":scope > .rail")];
  const names = [...chart.querySelectorAll(":scope > .name")].map((text) => text.textContent);
  const runs = [...chart.querySelectorAll(".run")].map((line) => ({
    line,
    number: line.dataset.run,
    at: line.dataset.at.split(" ").map((share) => (share === "-" ? null : Number(share))),
  }));
  const kept = rails.map(() => null); // of each axis [low, high], as shares of its width
  const over = document.createElement("div");
  over.className = "over";
  chart.before(over);

  const show = () => {
    const one = form.elements["run"].value;
    let count = 0;
    for (const { line, number, at } of runs) {
      const within = kept.every(
        (ends, axis) => !ends || (at[axis] !== null && at[axis] >= ends[0] - 1e-3 && at[axis] <= ends[1] + 1e-3),
      );
      const chosen = one === "" || one === number;
      line.classList.toggle("off", !(within && chosen));
      line.classList.toggle("on", one === number);
      count += within && chosen;
    }
    told.textContent = `${count} of ${runs.length} runs shown`;
    brushes.forEach((brush, axis) => {
      const ends = kept[axis] || [0, 1];
      const mark = brush.firstChild;
      mark.hidden = !kept[axis];
      mark.style.left = `${100 * ends[0]}%`;
      mark.style.right = `${100 - 100 * ends[1]}%`;
      brush.setAttribute("aria-valuenow", Math.round(100 * ends[0]));
      const range = `from ${Math.round(100 * ends[0])} to ${Math.round(100 * ends[1])} % of the axis`;
      brush.setAttribute("aria-valuetext", `${kept[axis] ? range : "all"}; ${told.textContent}`);
    });
  };

  const nearest = (event) => { // a click on an axis, within or without a brush, is also one on a line below it
    const [x, y] = [event.clientX, event.clientY];
    return document.elementsFromPoint(x, y).find((item) => item.classList.contains("run"));
  };

  const brushes = rails.map((rail, axis) => {
    const brush = document.createElement("div");
    brush.className = "brush";
    brush.tabIndex = 0;
    brush.style.top = `${Number(rail.getAttribute("y1")) - 18}px`;
    for (const [key, value] of [["role", "slider"], ["aria-label", `Runs kept on ${names[axis]}`],
      ["aria-valuemin", 0], ["aria-valuemax", 100]]) brush.setAttribute(key, value);
    brush.append(document.createElement("i"));
    const share = (event) => {
      const box = brush.getBoundingClientRect();
      return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    };
    let start = null;
    brush.addEventListener("pointerdown", (event) => {
      start = share(event);
      brush.setPointerCapture(event.pointerId);
    });
    brush.addEventListener("pointermove", (event) => {
      if (start === null) return;
      const now = share(event);
      kept[axis] = Math.abs(now - start) < 0.01 ? null : [Math.min(start, now), Math.max(start, now)];
      show();
    });
    brush.addEventListener("pointerup", (event) => {
      if (Math.abs(share(event) - start) < 0.01) {
        const line = nearest(event);
        kept[axis] = null;
        if (line) form.elements["run"].value = line.dataset.run;
      }
      start = null;
      show();
    });
    brush.addEventListener("pointercancel", () => { start = null; });
    brush.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.05, ArrowDown: -0.05, ArrowRight: 0.05, ArrowUp: 0.05 }[event.key];
      if (event.key === "Escape") kept[axis] = null;
      else if (step) {
        const ends = [...(kept[axis] || [0, 1])];
        const end = event.shiftKey ? 1 : 0;
        ends[end] = Math.min(1, Math.max(0, ends[end] + step));
        if (ends[0] > ends[1]) ends[1 - end] = ends[end];
        kept[axis] = ends[0] < 1e-6 && ends[1] > 1 - 1e-6 ? null : ends;
      } else return;
      event.preventDefault();
      show();
    });
    over.append(brush);
    return brush;
  });

  for (const { line, number } of runs) {
    line.addEventListener("pointerenter", () => line.classList.add("on"));
    line.addEventListener("pointerleave", () => line.classList.toggle("on", form.elements["run"].value === number));
    line.addEventListener("click", () => {
      const field = form.elements["run"];
      field.value = field.value === number ? "" : number;
      show();
    });
  }
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    kept.fill(null);
    setTimeout(show);
  });
  form.hidden = false;
  show();
})();
