// A task of a parallel job, for test_shell: tells its rank to the others by PMI and reads theirs.
#include <cstdio>

#include "common/pmi/pmi_client.hpp"

int main()
{
    try {
        auto client = flux::PmiClient::from_environment();
        if (!client)
            return 2;
        client->put(fmt::format("card.{}", client->rank()),
                    fmt::format("I am {} = {}", client->rank(), client->rank()));
        client->barrier();
        for (uint32_t rank = 0; rank < client->size(); rank++)
            if (client->get(fmt::format("card.{}", rank)) != fmt::format("I am {} = {}", rank, rank))
                return 3;
        auto mapping = client->get("PMI_process_mapping");
        client->finalize();
        printf("%u of %u %s\n", client->rank(), client->size(), mapping.c_str());
        return 0;
    } catch (const flux::Error &error) {
        fprintf(stderr, "%s\n", error.what());
        return 4;
    }
}
