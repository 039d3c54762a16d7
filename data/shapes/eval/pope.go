package eval

import "github.com/gollava/gollava/data/score"

// POPEScore judges answers of yes or no.
type POPEScore struct {
	Accuracy, Precision, Recall, F1 float64
	YesRatio                        float64 // share of answers that are yes
}

// POPE scores a set of existence questions as LLaVA's eval_pope.py does: see [score.SaysYes].
func POPE(set Set, answers []string) POPEScore {
	must(len(set), len(answers))
	var c score.YesNo
	for i, item := range set {
		c.Add(score.SaysYes(answers[i]), item.Answer == "yes")
	}
	return POPEScore{c.Accuracy(), c.Precision(), c.Recall(), c.F1(), c.YesRatio()}
}
