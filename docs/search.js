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
