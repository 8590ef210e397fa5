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
// sentences, as the texts of errors have. Of two places with as many words in it the one
// with less beside them comes first.
const perform = Search._performSearch;
Search._performSearch = (query, ...terms) => {
  const {docnames, filenames, indexentries, titles} = Search._index;
  const pasted = query.toLowerCase().replace(/\s+/g, " ");
  const places = new Map();
  for (const [entry, where] of Object.entries(indexentries)) {
    const words = entry.replace(/^; /, "");
    if (words.split(" ").length < 3) continue;
    for (const [page, id] of where) {
      const place = places.get(`${page}#${id}`) ?? {page, id, all: 0, found: 0};
      place.all += words.length;
      if (pasted.includes(words)) place.found += words.length;
      places.set(`${page}#${id}`, place);
    }
  }
  const best = [...places.values()]
    .filter(({found}) => found)
    .sort((a, b) => a.found - b.found || b.all - a.all)
    .map(({page, id, found}) => [
      docnames[page], titles[page], `#${id}`, null, found, filenames[page], "index",
    ]);
  const listed = new Set(best.map(([page, title, anchor]) => page + anchor));
  const others = perform(query, ...terms).filter(
    ([page, title, anchor]) => !listed.has(page + anchor),
  );
  return [...others, ...best];
};
