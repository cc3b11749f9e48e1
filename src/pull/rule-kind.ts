/** What kind of rule it is: `registries.include: *.example.com` without the pattern. For labels, which must be few. */
export function ruleKind(rule: string): string {
  return rule.split(':')[0]?.trim() ?? rule;
}
