"use strict";
(function () {
  document.documentElement.classList.add("scripted");

  // Sorting: a click on a heading sorts by the raw values, a second one turns the order round. Empty cells stay last.
  document.querySelectorAll("th button").forEach(function (button) {
    button.addEventListener("click", function () {
      const heading = button.parentElement;
      const column = heading.cellIndex;
      const body = heading.closest("table").tBodies[0];
      const down = heading.getAttribute("aria-sort") === "ascending";
      heading.parentElement.querySelectorAll("th").forEach(function (other) {
        other.removeAttribute("aria-sort");
      });
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = Array.from(body.rows);
      rows.sort(function (first, second) {
        const a = first.cells[column].dataset.sort;
        const b = second.cells[column].dataset.sort;
        if (a === "" || b === "") {
          return (a === "") - (b === "");
        }
        const difference = Number(a) - Number(b);
        const order = Number.isNaN(difference) ? a.localeCompare(b) : difference;
        return down ? -order : order;
      });
      body.append(...rows);
    });
  });

  // A link to a folded part opens it.
  function open() {
    const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (place && place.tagName === "DETAILS") {
      place.open = true;
    }
  }
  window.addEventListener("hashchange", open);
  open();

  // Print shows everything, and leaves the page as it was.
  let closed = [];
  window.addEventListener("beforeprint", function () {
    closed = Array.from(document.querySelectorAll("details:not([open]):not(.chooser)"));
    closed.forEach(function (part) { part.open = true; });
  });
  window.addEventListener("afterprint", function () {
    closed.forEach(function (part) { part.open = false; });
  });

  // The text of a chart's mark under the pointer, in the page's own colours.
  const box = document.createElement("div");
  box.className = "tip";
  box.hidden = true;
  box.setAttribute("aria-hidden", "true");
  document.body.append(box);
  function tellUnderPointer(mark, text) {
    mark.addEventListener("pointerenter", function (event) {
      box.textContent = text();
      box.hidden = false;
      box.style.left = Math.min(event.pageX + 12, scrollX + innerWidth - box.offsetWidth - 12) + "px";
      box.style.top = event.pageY + 16 + "px";
    });
    mark.addEventListener("pointerleave", function () { box.hidden = true; });
  }
  document.querySelectorAll(".chart svg title").forEach(function (title) {
    const mark = title.parentElement;
    const text = title.textContent;
    title.remove();
    tellUnderPointer(mark, function () { return text; });
  });

  // The map: a place under the pointer tells its row of the table, and a row sets off its place.
  function connect(block) {
    const places = block.querySelectorAll("svg g");
    const heads = Array.from(block.querySelectorAll("thead th"), function (head) { return head.textContent; });
    block.querySelectorAll("tbody tr").forEach(function (row, number) {
      const place = places[number];
      tellUnderPointer(place, function () {
        return Array.from(row.cells, function (cell, column) {
          return cell.textContent && heads[column] + ": " + cell.textContent;
        }).filter(Boolean).join(" · ");
      });
      [place, row].forEach(function (part) {
        part.addEventListener("pointerenter", function () {
          place.classList.add("lit");
          row.classList.add("lit");
        });
        part.addEventListener("pointerleave", function () {
          place.classList.remove("lit");
          row.classList.remove("lit");
        });
      });
    });
  }
  document.querySelectorAll(".map .block").forEach(function (block) {
    block.addEventListener("toggle", function () { connect(block); }, { once: true });
  });
})();
