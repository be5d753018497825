package httpcheck

// clocks holds runs, the one whose deadline is the first in front: a binary
// heap in which each run knows its place.
type clocks []*run

func (c *clocks) add(r *run) {
	r.place = len(*c)
	*c = append(*c, r)
	c.up(r.place)
}

// remove takes r out, if it is there.
func (c *clocks) remove(r *run) {
	i, last := r.place, len(*c)-1
	if i < 0 {
		return
	}
	c.swap(i, last)
	(*c)[last] = nil
	*c = (*c)[:last]
	r.place = -1
	if i < last {
		c.down(i)
		c.up(i)
	}
}

// fix finds r's place after its deadline grew.
func (c *clocks) fix(r *run) { c.down(r.place) }

func (c clocks) swap(i, j int) {
	c[i], c[j] = c[j], c[i]
	c[i].place, c[j].place = i, j
}

func (c clocks) up(i int) {
	for i > 0 && c[i].deadline < c[(i-1)/2].deadline {
		c.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (c clocks) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(c); child++ {
			if c[child].deadline < c[least].deadline {
				least = child
			}
		}
		if least == i {
			return
		}
		c.swap(i, least)
		i = least
	}
}
