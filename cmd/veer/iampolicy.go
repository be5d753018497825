package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/daemon"
)

func (a *app) iamPolicyCommand() *cobra.Command {
	var provider string
	var readOnly bool
	cmd := &cobra.Command{
		Use:   "iam-policy",
		Short: "Print the least IAM policy for Route 53",
		Long: `Iam-policy prints the least-privilege IAM policy with which Veer can steer
exactly the names that the config gives to a provider of kind route53: with
condition keys for the names, types and actions. --read-only prints the one that
veer plan needs. A zone without an id in the config is looked up with the
credentials that there are.

With -o json it prints the same: a policy is JSON.`,
		Example: "  veer iam-policy\n  veer iam-policy --read-only --provider aws",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.load()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
			defer cancel()
			text, err := daemon.IAMPolicy(ctx, c, provider, readOnly)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "%s\n", text)
			return err
		},
	}
	cmd.Flags().StringVar(&provider, "provider", "", "the provider's name in the config (needed where several are of kind route53)")
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "the policy for reading alone, as veer plan needs it")
	return cmd
}
