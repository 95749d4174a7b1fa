'use strict';
{
  const all = (query, root = document) => [...root.querySelectorAll(query)];
  const make = (tag, props, ...inside) => {
    const made = Object.assign(document.createElement(tag), props);
    made.append(...inside);
    return made;
  };

  // Tables: a click on a heading sorts, long ones have a filter, wide ones a hint.
  const value = (row, column) => {
    const text = row.cells[column]?.textContent.replaceAll('−', '-').replaceAll('–', '') ?? '';
    const found = text.match(/[-+]?\d+(\.\d+)?/);
    return found && column ? [-found[0], ''] : [Infinity, text.trim()];
  };
  const sort = (table, head) => {
    const column = head.cellIndex, turn = head.ariaSort === 'descending' ? -1 : 1;
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.querySelector('[scope=rowgroup]'));
      const keys = new Map(rows.map((row) => [row, value(row, column)]));
      const order = ([a, b], [c, d]) => (a === c ? b.localeCompare(d) : a < c ? -1 : 1);
      body.append(...rows.sort((one, two) => turn * order(keys.get(one), keys.get(two))));
    }
    for (const other of all('th[aria-sort]', table)) other.removeAttribute('aria-sort');
    head.ariaSort = turn > 0 ? 'descending' : 'ascending';
  };
  for (const table of all('table')) {
    const rows = all('tbody tr', table), box = table.parentElement;
    if (rows.length > 1) {
      for (const head of all('thead th:not(.drawn)', table)) {
        const button = make('button', { className: 'sort', title: 'sort' }, ...head.childNodes);
        button.onclick = () => sort(table, head);
        head.append(button);
      }
    }
    if (rows.length > 8) {
      const field = make('input', { type: 'search', placeholder: 'filter rows', className: 'filter' });
      field.ariaLabel = 'filter rows';
      field.oninput = () => {
        const wanted = field.value.toLowerCase();
        for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
      };
      box.before(field);
    }
  }
  const hint = new ResizeObserver((seen) => {
    for (const { target: box } of seen) {
      const wide = box.scrollWidth > box.clientWidth + 1;
      if (!box.hint) box.before((box.hint = make('p', { className: 'hint' }, '↔ wider than the screen: scrolls sideways')));
      box.hint.hidden = !wide;
    }
  });
  for (const box of all('.scroll')) hint.observe(box);

  // Pictures: in full size, and two columns of a sheet under a slider.
  const full = make('dialog', { className: 'full', onclick: () => full.close() });
  document.body.append(full);
  const compare = (figure, names) => {
    const image = figure.querySelector('img');
    const [cell, caption, gap] = figure.dataset.cell.split(' ').map(Number);
    const unit = image.naturalWidth / (names.length * (cell + gap) + gap);
    const width = cell * unit, height = (image.naturalHeight - gap * unit) / 2 - (caption + gap) * unit;
    const layers = [make('div', {}), make('div', {})];
    const choose = (chosen, ...texts) => {
      const field = make('select', {}, ...texts.map((text, value) => make('option', { value }, text)));
      field.value = chosen;
      field.oninput = show;
      return field;
    };
    const range = make('input', { type: 'range', max: 1000, value: 500, ariaLabel: 'border between both' });
    const place = (part, whole, own) => `${(100 * part) / (whole - own)}%`;
    function show() {
      layers.forEach((layer, index) => {
        const left = gap * unit + columns[index].value * (cell + gap) * unit;
        const top = (gap + caption) * unit + row.value * (height + (caption + gap) * unit);
        layer.style.backgroundImage = `url(${image.src})`;
        layer.style.backgroundSize = `${(100 * image.naturalWidth) / width}% ${(100 * image.naturalHeight) / height}%`;
        layer.style.backgroundPosition = `${place(left, image.naturalWidth, width)} ${place(top, image.naturalHeight, height)}`;
      });
      layers[1].style.clipPath = `inset(0 0 0 ${range.value / 10}%)`;
    }
    const columns = [choose(1, ...names), choose(names.length - 1, ...names)];
    const row = choose(1, 'pictures', 'predictions');
    range.oninput = show;
    const stage = make('div', { className: 'stage' }, ...layers);
    stage.style.aspectRatio = `${width} / ${height}`;
    show();
    return make('div', { className: 'compare' }, make('p', {}, columns[0], ' | ', columns[1], ' ', row), stage, range);
  };
  for (const figure of all('figure.sheet')) {
    const image = figure.querySelector('img');
    if (!image) continue;
    const zoom = () => {
      full.replaceChildren(make('img', { src: image.src, alt: image.alt }));
      full.showModal();
    };
    image.onclick = zoom;
    const bar = make('p', { className: 'bar-of-buttons' }, make('button', { onclick: zoom }, 'full size'));
    const names = JSON.parse(figure.dataset.columns);
    if (names.length > 2) {
      let open;
      const toggle = () => {
        if (open) open.hidden = !open.hidden;
        else bar.after((open = compare(figure, names)));
      };
      bar.append(' ', make('button', { onclick: toggle }, 'compare with a slider'));
    }
    figure.append(bar);
  }
}
