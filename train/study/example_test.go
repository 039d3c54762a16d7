package study_test

import (
	"fmt"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/train/study"
)

// Text and the positions of images of a prompt, apart.
func ExampleApart() {
	fmt.Println(study.Apart([]int32{1, chat.ImageIndex, 7, 8}))
	// Output:
	// [1 0 7 8] [1]
}
