"use strict";
(() => {
  const form = document.getElementById("search");
  const items = [...document.querySelectorAll("#found > article")].map((item) => ({
    item,
    text: item.textContent.toLowerCase(),
  }));
  const told = document.getElementById("found-count");
  const show = () => {
    const looked = form.elements["text"].value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { item, text } of items) {
      const chosen = ["model", "benchmark", "kind"].every((name) => {
        const field = form.elements[name];
        return !field || !field.value || item.dataset[name] === field.value;
      });
      const matches = chosen && looked.every((word) => text.includes(word));
      item.hidden = !matches;
      count += matches;
    }
    told.textContent = `${count} of ${items.length} shown`;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(show));
  form.hidden = false;
  show();
})();
