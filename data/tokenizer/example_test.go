package tokenizer_test

import (
	"fmt"

	"github.com/gollava/gollava/data/tokenizer"
)

func Example() {
	t, err := tokenizer.Load("testdata/cases/llama")
	if err != nil {
		panic(err)
	}
	ids := t.Encode("The cat sits on the table.")
	fmt.Println(t.Wrap(ids))
	fmt.Println(t.Decode(ids))

	s := t.Stream(nil)
	for _, id := range ids {
		fmt.Printf("%q ", s.Next(id))
	}
	fmt.Println(s.Flush())
	// Output:
	// [1 292 497 266 286 791 318 261 260 787 801 304 799]
	// The cat sits on the table.
	// "The" " cat" " s" "it" "s" " on" " the" " t" "a" "b" "le" "."
}
