package chat_test

import (
	"fmt"

	"github.com/gollava/gollava/data/chat"
)

func Example() {
	t := chat.LlavaLlama2()
	t.System = "Be brief."
	spans, err := t.Sample([]chat.Turn{
		{From: chat.Human, Value: "<image>\nHow many dogs?"},
		{From: chat.GPT, Value: "Two."},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range spans {
		fmt.Printf("%-5t %q\n", s.Supervised, s.Text)
	}
	// Output:
	// false "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n"
	// false "<image>\nHow many dogs?"
	// false " [/INST]"
	// true  " "
	// true  "Two."
	// true  " </s>"
}

func ExampleTemplate_Render() {
	prompt, err := chat.VicunaV1().Render([]chat.Turn{
		{From: chat.Human, Value: chat.Question("What is this?", false)},
		{From: chat.GPT, Open: true},
	})
	fmt.Printf("%.13s … %s %v\n", prompt, prompt[len(prompt)-40:], err)
	// Output:
	// A chat betwee … . USER: <image>
	// What is this? ASSISTANT: <nil>
}
