package eval

import (
	"slices"
	"strings"
)

// POPEScore judges answers of yes or no.
type POPEScore struct {
	Accuracy, Precision, Recall, F1 float64
	YesRatio                        float64 // share of answers that are yes
}

// POPE scores a set of existence questions as LLaVA's eval_pope.py does: an answer counts as no if its first sentence has the word
// No, not or no, and as yes otherwise.
func POPE(set Set, answers []string) POPEScore {
	must(len(set), len(answers))
	var tp, fp, tn, fn int
	for i, item := range set {
		switch yes, want := saysYes(answers[i]), item.Answer == "yes"; {
		case yes && want:
			tp++
		case yes:
			fp++
		case want:
			fn++
		default:
			tn++
		}
	}
	return POPEScore{
		Accuracy: share(tp+tn, len(set)), Precision: share(tp, tp+fp), Recall: share(tp, tp+fn), F1: share(2*tp, 2*tp+fp+fn),
		YesRatio: share(tp+fp, len(set)),
	}
}

func saysYes(answer string) bool {
	first, _, _ := strings.Cut(answer, ".")
	words := strings.Split(strings.ReplaceAll(first, ",", ""), " ")
	return !slices.ContainsFunc(words, func(w string) bool { return w == "No" || w == "not" || w == "no" })
}
