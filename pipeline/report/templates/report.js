"use strict";
// Charts: text and grid colours come from the style sheet, so that they follow the reader's light or dark scheme.
(function () {
  const specs = JSON.parse(document.getElementById("charts").textContent);
  document.querySelectorAll(".chart").forEach(function (place, index) {
    const options = {
      ast: true, // Interpreted expressions: the page's security policy forbids compiled ones.
      renderer: "svg",
      actions: { export: true, source: false, compiled: false, editor: false },
    };
    vegaEmbed(place, specs[index], options).catch(function (error) {
      place.textContent = "This chart could not be drawn: " + error.message;
    });
  });

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
})();
