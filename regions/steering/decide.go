package steering

func Decide(in Input) Decision { panic("being written") }
