package score

import (
	"archive/zip"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/internal/atomicfile"

	"github.com/gollava/gollava/internal/jsonrecord"
)

// uploadMMBench writes the sheet that MMBench's server takes, as LLaVA's convert_mmbench_for_submission does: the
// tsv's columns but for hint, category, source, image, comment and l2-category, and the prediction as the sixth.
func uploadMMBench(f Files, path string) error {
	if err := needs("question", f.Questions); err != nil {
		return err
	}
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return err
	}
	defer a.Close()
	var columns []string
	err = jsonrecord.EachLine(f.Questions, func(r jsonrecord.Record, _ bool) error {
		left := []string{"hint", "category", "source", "image", "comment", "l2-category"}
		for _, c := range strings.Split(strings.TrimRight(string(r.Raw), "\r"), "\t") {
			if !slices.Contains(left, c) {
				columns = append(columns, c)
			}
		}
		return jsonrecord.ErrStop
	})
	if err != nil {
		return err
	}
	columns = slices.Insert(columns, min(6, len(columns)), "prediction")
	return writeXLSX(path, func(put func(cells []string) error) error {
		if err := put(columns); err != nil {
			return err
		}
		n := 0
		err := eachMMRow(f.Questions, func(r jsonrecord.Record, row mmRow) error {
			x, ok, err := a.find(strconv.Itoa(row.index))
			if err == nil && !ok {
				err = fmt.Errorf("%s: question %d has no answer: answer it first", r.At(), row.index)
			}
			if err != nil {
				return err
			}
			n++
			row.columns["prediction"] = x.Text
			var cells []string
			for _, c := range columns {
				cells = append(cells, row.columns[c])
			}
			return put(cells)
		})
		if err != nil {
			return err
		}
		return a.done(f.Questions, n)
	})
}

// writeXLSX writes a workbook with one sheet of texts and whole numbers (ECMA-376, the parts that readers insist on).
func writeXLSX(path string, rows func(put func(cells []string) error) error) error {
	const head = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"
	const schema, relations = "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
		"http://schemas.openxmlformats.org/package/2006/relationships"
	const office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
	return atomicfile.Write(path, func(w io.Writer) error {
		z := zip.NewWriter(w)
		for _, part := range [][2]string{
			{"[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
				`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>` +
				`<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>` +
				`<Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>`},
			{"_rels/.rels", `<Relationships xmlns="` + relations + `"><Relationship Id="rId1" Type="` + office + `/officeDocument" Target="xl/workbook.xml"/></Relationships>`},
			{"xl/workbook.xml", `<workbook xmlns="` + schema + `" xmlns:r="` + office + `"><sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>`},
			{"xl/_rels/workbook.xml.rels", `<Relationships xmlns="` + relations + `"><Relationship Id="rId1" Type="` + office + `/worksheet" Target="worksheets/sheet1.xml"/></Relationships>`},
		} {
			p, err := z.Create(part[0])
			if err == nil {
				_, err = io.WriteString(p, head+part[1])
			}
			if err != nil {
				return err
			}
		}
		sheet, err := z.Create("xl/worksheets/sheet1.xml")
		if err != nil {
			return err
		}
		if _, err = io.WriteString(sheet, head+`<worksheet xmlns="`+schema+`"><sheetData>`); err != nil {
			return err
		}
		err = rows(func(cells []string) error {
			var b strings.Builder
			b.WriteString("<row>")
			for _, c := range cells {
				if n, err := strconv.ParseInt(c, 10, 53); err == nil && strconv.FormatInt(n, 10) == c {
					b.WriteString("<c><v>" + c + "</v></c>")
					continue
				}
				b.WriteString(`<c t="inlineStr"><is><t xml:space="preserve">`)
				if err := xml.EscapeText(&b, []byte(c)); err != nil {
					return err
				}
				b.WriteString("</t></is></c>")
			}
			b.WriteString("</row>")
			_, err := io.WriteString(sheet, b.String())
			return err
		})
		if err != nil {
			return err
		}
		if _, err := io.WriteString(sheet, "</sheetData></worksheet>"); err != nil {
			return err
		}
		return z.Close()
	})
}
