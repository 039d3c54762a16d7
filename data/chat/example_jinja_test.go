package chat_test

import (
	"fmt"

	"github.com/gollava/gollava/data/chat"
)

// A checkpoint's chat_template decides the prompt. This one is ChatML with a system text; tokenizers bring theirs to
// chat.FromTokenizer.
func ExampleFromJinja() {
	t, err := chat.FromJinja("{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"+
		"{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"+
		"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}", nil)
	fmt.Println(t.Name, err)
	text, err := t.Render([]chat.Turn{{From: chat.Human, Value: "Why?"}, {From: chat.GPT, Open: true}})
	fmt.Printf("%q %v\n", text, err)
	// Output:
	// chatml <nil>
	// "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n" <nil>
}

// Text that grows, up to the first stop string; what may become one is held back.
func ExampleUntil() {
	u := chat.NewUntil("</s>")
	for _, piece := range []string{"So it", " is.<", "/s> and"} {
		fmt.Printf("%q ", u.Add(piece))
	}
	fmt.Println(u.Stopped())
	// Output: "So it" " is." "" true
}

func ExampleQuestion() {
	fmt.Printf("%q\n", chat.Question("What is this?", false))
	// Output: "<image>\nWhat is this?"
}
