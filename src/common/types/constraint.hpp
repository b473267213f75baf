// Constraint: a condition in JSON, {"and":[{"properties":["ssd"]},{"not":[{"ranks":["0"]}]}]} (RFC 31),
// compiled once and asked many times. The logic (and, or, not) is here; what the other operators mean is told
// by a table, so that job listing (RFC 43) and resource matching share the tree:
//
//     ConstraintOperators<Job> ops;
//     ops["userid"] = [](std::string_view op, const Json &values) -> Expected<ConstraintTest<Job>> {
//         auto ids = values.as<std::vector<int64_t>>();    // wrong types throw; compile() names the operator
//         return [ids](const Job &job) { return std::ranges::find(ids, job.userid) != ids.end(); };
//     };
//     auto wanted = value_or_throw(Constraint<Job>::compile(json, ops));
//     wanted.match(job);
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/json/json.hpp"

namespace flux {

constexpr size_t max_constraint_depth = 64;
constexpr size_t max_constraint_nodes = 10000;

// The tree without its leaves: leaf n is test number n of whoever compiled it.
class ConstraintTree {
public:
    enum class Kind : uint8_t { all, any, none, leaf }; // none: not(all of them)
    struct Node {
        Kind kind;
        uint32_t leaf = 0;
        std::vector<Node> children;
    };
    // Calls on_leaf for each operator that is not and/or/not; it gives the number of the leaf, or why not.
    using OnLeaf = std::function<Expected<uint32_t>(std::string_view op, const Json &values)>;
    static Expected<ConstraintTree> compile(const Json &constraint, const OnLeaf &on_leaf);

    template <class Test>
    bool evaluate(const Test &test) const
    {
        return evaluate(root_, test);
    }
    const Node &root() const { return root_; }

private:
    template <class Test>
    static bool evaluate(const Node &node, const Test &test)
    {
        switch (node.kind) {
        case Kind::leaf:
            return test(node.leaf);
        case Kind::any:
            for (const auto &child : node.children)
                if (evaluate(child, test))
                    return true;
            return node.children.empty(); // RFC 31: an empty "or" matches anything
        case Kind::all:
        case Kind::none:
            for (const auto &child : node.children)
                if (!evaluate(child, test))
                    return node.kind == Kind::none;
            return node.kind == Kind::all;
        }
        return false;
    }
    Node root_ {Kind::all, 0, {}};
};

template <class Subject>
using ConstraintTest = std::function<bool(const Subject &)>;
template <class Subject>
using ConstraintOperator =
    std::function<Expected<ConstraintTest<Subject>>(std::string_view op, const Json &values)>;
template <class Subject>
using ConstraintOperators = std::map<std::string, ConstraintOperator<Subject>, std::less<>>;

std::unexpected<Error> unknown_constraint_operator(std::string_view op,
                                                   const std::vector<std::string_view> &known);

template <class Subject>
class Constraint {
public:
    Constraint() = default; // matches anything
    // EINVAL with a sentence that names the operator and what is wrong with its values.
    static Expected<Constraint> compile(const Json &json, const ConstraintOperators<Subject> &operators)
    {
        Constraint out;
        auto tree =
            ConstraintTree::compile(json, [&](std::string_view op, const Json &values) -> Expected<uint32_t> {
                auto found = operators.find(op);
                if (found == operators.end()) {
                    std::vector<std::string_view> known;
                    for (const auto &[name, unused] : operators)
                        known.push_back(name);
                    return unknown_constraint_operator(op, known);
                }
                try {
                    auto test = found->second(op, values);
                    if (!test)
                        return std::unexpected(test.error());
                    out.tests_.push_back(std::move(*test));
                } catch (const Error &error) {
                    return fail(EINVAL, "constraint operator \"{}\": {}", op, error.text());
                }
                return uint32_t(out.tests_.size() - 1);
            });
        if (!tree)
            return std::unexpected(tree.error());
        out.tree_ = std::move(*tree);
        return out;
    }
    // Adds to *comparisons, if given, how many tests were made (the job listing's limit, RFC 43).
    bool match(const Subject &subject, uint64_t *comparisons = nullptr) const
    {
        return tree_.evaluate([&](uint32_t leaf) {
            if (comparisons)
                ++*comparisons;
            return tests_[leaf](subject);
        });
    }
    bool matches_anything() const { return tests_.empty() && match_empty(); }

private:
    bool match_empty() const
    {
        return tree_.evaluate([](uint32_t) { return false; });
    }
    ConstraintTree tree_;
    std::vector<ConstraintTest<Subject>> tests_;
};

// What the operators of RFC 31 ask of an execution target.
class ConstraintTarget {
public:
    virtual ~ConstraintTarget() = default;
    virtual bool has_property(std::string_view name) const = 0;
    virtual std::string_view hostname() const = 0;
    virtual uint32_t rank() const = 0;
};
using ResourceConstraint = Constraint<ConstraintTarget>;
const ConstraintOperators<ConstraintTarget> &resource_constraint_operators(); // properties, hostlist, ranks
Expected<ResourceConstraint> compile_resource_constraint(const Json &json);
Expected<void> validate_resource_constraint(const Json &json);

// The query syntax (RFC 35), "ssd&(host:fluke[0-3]|-gpu)", as constraint JSON.
struct ConstraintQuery {
    std::string default_operator; // of a term without "op:"; none: such terms are errors
    std::map<std::string, std::string, std::less<>> aliases; // "host" -> "hostlist"
    // Makes the values of a term from its operand; without it the operand is the one value.
    std::function<Expected<Json>(std::string_view op, std::string_view operand)> values;
};
// EINVAL says where and what was expected. An empty query is the absent Json.
Expected<Json> parse_constraint_query(std::string_view text, const ConstraintQuery &syntax);
// As --requires has it: properties by default, host(s) and rank as aliases; validated.
Expected<Json> parse_resource_query(std::string_view text);

} // namespace flux
