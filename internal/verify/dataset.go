package verify

// dataCase is case.json of the task dataset, and what the task prompt has of splices, samplers and batches.
type dataCase struct {
	Files      map[string]string
	Sets       []set
	Records    string
	WebDataset string
	Zip        struct {
		File   string
		SameAs string `json:"same_as"`
	}
	Broken string
}

// set is a data file, and for a mixture which records it takes from which file.
type set struct {
	File string
	From map[string]any `json:"records_from"`
}

// dataset checks record tables, mixtures, shards, archives and broken files. Everything is exact.
func dataset(r *Report, c dataCase) {
	if c.Records != "" {
		dataRecords(r, c)
		r.tally("mixtures", func(t *tally) {
			for _, s := range c.Sets {
				if s.From != nil {
					mix(t, inside(r.Dir, s.File), s.From)
				}
			}
		})
	}
	if c.WebDataset != "" {
		shards(r, c)
	}
	if c.Zip.File != "" {
		zipped(r, c)
	}
	if c.Broken != "" {
		broken(r, c)
	}
}
