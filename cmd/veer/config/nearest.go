package config

import "strings"

// nearest returns the known word that a typo most likely stood for, or "".
func nearest(word string, known []string) string {
	best, distance := "", max(1, len(word)/3)
	if len(word) > 64 {
		return ""
	}
	for _, k := range known {
		if d := edits(strings.ToLower(word), strings.ToLower(k)); d <= distance && (best == "" || d < distance) && d < len(k) {
			best, distance = k, d
		}
	}
	for _, k := range known {
		if best == "" && len(k) > 2 && len(word) > 2 && (strings.HasPrefix(word, k) || strings.HasPrefix(k, word)) {
			best = k
		}
	}
	return best
}

// edits is the number of letters to insert, delete, replace or swap with the
// next one to make b of a (optimal string alignment distance).
func edits(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}

// didYouMean is the hint for a typo, or "".
func didYouMean(word string, known []string) string {
	if n := nearest(word, known); n != "" {
		return "did you mean " + n + "?"
	}
	return ""
}
