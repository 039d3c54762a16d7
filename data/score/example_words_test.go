package score_test

import (
	"fmt"

	"github.com/gollava/gollava/data/score"
)

// POPE's figures for three answers, as its own program reads them.
func ExampleYesNo() {
	var c score.YesNo
	for said, truth := range map[string]bool{"Yes, there is one.": true, "No": false, "yes": false} {
		c.Add(score.SaysYes(said), truth)
	}
	fmt.Printf("accuracy %.2f, precision %.2f, recall %.2f, F1 %.2f\n", c.Accuracy(), c.Precision(), c.Recall(), c.F1())
	// Output: accuracy 0.67, precision 0.50, recall 1.00, F1 0.67
}

func ExampleSame() {
	fmt.Println(score.Same(" Red circle.", "red circle"), score.Same("a red circle", "red circle"))
	// Output: true false
}

func ExampleExact() {
	fmt.Println(score.Exact([]string{"two", "red"}, []string{"Two.", "blue"}))
	// Output: 0.5
}

func ExampleANLS() {
	fmt.Printf("%.2f\n", score.ANLS("starbuck", []string{"starbucks"}))
	// Output: 0.89
}
