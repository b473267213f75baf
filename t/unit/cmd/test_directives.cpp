// Submission directives (RFC 36), the RFC's own examples among them.
#include <gtest/gtest.h>

#include "cmd/directives.hpp"

using flux::cmd::parse_directives;

namespace {

using Words = std::vector<std::string>;

Words words(std::string_view script)
{
    auto out = parse_directives(script);
    EXPECT_TRUE(out) << out.error().text();
    return out.value_or(Words {"error"});
}

std::string error(std::string_view script)
{
    auto out = parse_directives(script);
    return out ? "" : out.error().text();
}

} // namespace

TEST(Directives, are_found_after_any_comment_prefix)
{
    EXPECT_EQ(words("#!/bin/sh\n#FLUX: -N4                  # Request four nodes\n"
                    "#FLUX: --queue=batch        # Submit to the batch queue\n"
                    "#FLUX: --job-name=app001    # Set an explicit job name\nflux run -N4 app\n"),
              (Words {"-N4", "--queue=batch", "--job-name=app001"}));
    EXPECT_EQ(words("#!/usr/bin/lua\n--\n-- flux: -N1 --exclusive\n-- flux: --output=job.out\nlocal app = "
                    "1\napp.run()\n"),
              (Words {"-N1", "--exclusive", "--output=job.out"}));
    EXPECT_EQ(words("#!/usr/bin/env python3\n\"\"\"\nflux: --nodes=4\n\nSet something:\n"
                    "flux: --setattr=user.foo=\"hello, earth\"\n\"\"\"\n"),
              (Words {"--nodes=4", "--setattr=user.foo=hello, earth"}));
    EXPECT_EQ(words("#!/bin/sh\necho none\n"), Words());
}

TEST(Directives, may_be_commented_out)
{
    EXPECT_EQ(words("# flux: -N 4 # -c2 : comment out for now\n# flux: # -n 8\n"), (Words {"-N", "4"}));
}

TEST(Directives, are_quoted_as_in_a_shell)
{
    EXPECT_EQ(words("# flux: --setattr=user.data='{\"option\": \"arg\"}' --a=\"b \\\" c\" d\\ e\n"),
              (Words {"--setattr=user.data={\"option\": \"arg\"}", "--a=b \" c", "d e"}));
    EXPECT_EQ(words("# flux: --job-name='''It's a \"job\"'''\n"), (Words {"--job-name=It's a \"job\""}));
}

TEST(Directives, take_literals_of_several_lines)
{
    EXPECT_EQ(words("# flux: --setattr=user.conf=\"\"\"\n# flux: [config]\n# flux:   item = \"foo\"\n# flux: "
                    "\"\"\"\n"),
              (Words {"--setattr=user.conf=[config]\n  item = \"foo\"\n"}));
}

TEST(Directives, mix_with_other_comments_of_the_same_prefix)
{
    EXPECT_EQ(words("#!/bin/sh\n# Set flux directives\n#FLUX: -N1\n# Set job name:\n#FLUX: --job-name=test\n"
                    "hostname; date\n"),
              (Words {"-N1", "--job-name=test"}));
}

TEST(Directives, after_the_script_began_are_an_error)
{
    EXPECT_NE(error("#!/bin/sh\n#FLUX: -N1\nhostname; date\n#FLUX: --job-name=test\n").find("line 4"),
              std::string::npos);
}

TEST(Directives, that_are_malformed_name_their_line)
{
    EXPECT_NE(error("# flux: -N1\n## flux: -n2\n").find("line 2"), std::string::npos);
    EXPECT_NE(error("# flux: --a='b\n").find("not closed"), std::string::npos);
    EXPECT_NE(error("# flux: --a=\"\"\"\n# flux: b\n").find("not closed"), std::string::npos);
    EXPECT_NE(error("# flux: hostname\n").find("does not begin with an option"), std::string::npos);
}
