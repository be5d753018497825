package main

import "testing"

func TestOnlyThePinnedTarballIsRead(t *testing.T) {
	// printf veer | openssl dgst -sha512 -binary | base64
	const pinned = "sha512-KBiprhLyCapv5o8Wjc6iRb7sEAnE2KfdtkZQK/ajS49DMzprT5VmqJu6Hsz2JvYR2DP2vL46aAyPG3JrfmhUVA=="
	if err := verify([]byte("veer"), pinned); err != nil {
		t.Error(err)
	}
	if err := verify([]byte("veers"), pinned); err == nil {
		t.Error("another tarball passes for the pinned one")
	}
}

func TestFolderOf(t *testing.T) {
	if got := folderOf("aws", "aws_iam_role", "data-aws-"); got != "data-aws-iam-role" {
		t.Errorf("the folder is %s", got)
	}
}
