-- look.lua - the job as it stands.

job_function('look', READS, function()
    return CODE.OK
end)
