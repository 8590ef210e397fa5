// How the search orders what it finds: first what is so named, a section or an object,
// then index entries (50 to 100 points) and pages that have the words. Of two objects
// of one name the one with the shorter path comes first.
var Scorer = {
  objNameMatch: 110,
  objPartialMatch: 6,
  objPrio: {0: 5, 1: 5, 2: -5},
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
  score: ([page, title, anchor, description, score, file, kind]) => {
    if (kind === "title" && score >= Scorer.title) return 130;
    if (kind === "object") return score - title.split(".").length;
    return score;
  },
};

// A text that is pasted whole, with its values, leads to the index entries that are in it:
// sentences, as the texts of errors have.
const perform = Search._performSearch;
Search._performSearch = (query, ...terms) => {
  const {docnames, filenames, indexentries, titles} = Search._index;
  const pasted = query.toLowerCase().replace(/\s+/g, " ");
  const found = new Map();
  for (const [entry, places] of Object.entries(indexentries)) {
    const words = entry.replace(/^; /, "");
    if (words.split(" ").length < 3 || !pasted.includes(words)) continue;
    for (const [page, id] of places) {
      const length = words.length + (found.get(id)?.length ?? 0);
      found.set(id, {page, length});
    }
  }
  const others = perform(query, ...terms).filter(
    ([page, title, anchor]) => !found.has(anchor.slice(1)),
  );
  const best = [...found].sort(([, a], [, b]) => a.length - b.length);
  const results = best.map(([id, {page, length}]) => [
    docnames[page], titles[page], `#${id}`, null, length, filenames[page], "index",
  ]);
  return [...others, ...results];
};
